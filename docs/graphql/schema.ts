// Written by `make graphql-types` from docs/schema.graphql.
export type Maybe<T> = T | null;
export type InputMaybe<T> = Maybe<T>;
export type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
export type MakeOptional<T, K extends keyof T> = Omit<T, K> & { [SubKey in K]?: Maybe<T[SubKey]> };
export type MakeMaybe<T, K extends keyof T> = Omit<T, K> & { [SubKey in K]: Maybe<T[SubKey]> };
export type MakeEmpty<T extends { [key: string]: unknown }, K extends keyof T> = { [_ in K]?: never };
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All built-in and custom scalars, mapped to their actual values */
export type Scalars = {
  ID: { input: string; output: string; }
  String: { input: string; output: string; }
  Boolean: { input: boolean; output: boolean; }
  Int: { input: number; output: number; }
  Float: { input: number; output: number; }
  /** A moment in ISO 8601, in UTC, as REST writes it. */
  DateTime: { input: string; output: string; }
  /** Any JSON value. */
  JSON: { input: unknown; output: unknown; }
  /** A whole number of at most 256 bits, written as a JSON number. */
  BigInt: { input: number; output: number; }
};

/** What may be read. */
export type Query = {
  __typename?: 'Query';
  /** The log's entries, newest first; for administrators. */
  auditEntries: AuditEntryPage;
  /** The proof for a receipt (the Audit-Receipt header of a change's answer). */
  auditReceipt: AuditReceipt;
  /** The log's last signed checkpoint. */
  auditCheckpoint: AuditCheckpoint;
  /** Who asks. */
  me: User;
  /** Users who are not deleted; for administrators. */
  users: UserPage;
  /** One user; for administrators. */
  user: User;
  /** Figures; for administrators. */
  metrics: AdminMetrics;
  /** Your jobs, newest first; administrators see everyone's. */
  jobs: JobConnection;
  /** One job of yours; administrators see everyone's. */
  job: Job;
  /** The kinds of job that you may start. */
  jobTypes: Array<JobType>;
  /** An election's census. */
  census: Census;
  /** The Merkle proof of a commitment; it tells whoever answers which one is asked for. */
  censusProof: MerkleProof;
  /** Elections by pages. */
  elections: ElectionConnection;
  /** One election. */
  election: Election;
  /** An election's votes by option. */
  tally: Tally;
  /** How many voted in an election. */
  turnout: Turnout;
};


/** What may be read. */
export type QueryAuditEntriesArgs = {
  action?: InputMaybe<Scalars['String']['input']>;
  actor?: InputMaybe<Scalars['String']['input']>;
  target?: InputMaybe<Scalars['String']['input']>;
  requestId?: InputMaybe<Scalars['String']['input']>;
  seq?: InputMaybe<Scalars['BigInt']['input']>;
  since?: InputMaybe<Scalars['DateTime']['input']>;
  until?: InputMaybe<Scalars['DateTime']['input']>;
  search?: InputMaybe<Scalars['String']['input']>;
  before?: InputMaybe<Scalars['ID']['input']>;
  limit?: InputMaybe<Scalars['Int']['input']>;
};


/** What may be read. */
export type QueryAuditReceiptArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryUsersArgs = {
  role?: InputMaybe<Role>;
  isActive?: InputMaybe<Scalars['Boolean']['input']>;
  limit?: InputMaybe<Scalars['Int']['input']>;
  offset?: InputMaybe<Scalars['Int']['input']>;
};


/** What may be read. */
export type QueryUserArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryJobsArgs = {
  status?: InputMaybe<JobStatus>;
  type?: InputMaybe<Scalars['String']['input']>;
  first?: InputMaybe<Scalars['Int']['input']>;
  after?: InputMaybe<Scalars['String']['input']>;
};


/** What may be read. */
export type QueryJobArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryCensusArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryCensusProofArgs = {
  id: Scalars['ID']['input'];
  commitment: Scalars['String']['input'];
};


/** What may be read. */
export type QueryElectionsArgs = {
  status?: InputMaybe<ElectionStatus>;
  ordering?: InputMaybe<ElectionOrdering>;
  first?: InputMaybe<Scalars['Int']['input']>;
  after?: InputMaybe<Scalars['String']['input']>;
  last?: InputMaybe<Scalars['Int']['input']>;
  before?: InputMaybe<Scalars['String']['input']>;
};


/** What may be read. */
export type QueryElectionArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryTallyArgs = {
  id: Scalars['ID']['input'];
};


/** What may be read. */
export type QueryTurnoutArgs = {
  id: Scalars['ID']['input'];
};

/** Entries, newest first. */
export type AuditEntryPage = {
  __typename?: 'AuditEntryPage';
  /** The entries of this page. */
  results: Array<AuditEntry>;
  /** Give as `before` for the next page; null on the last. */
  next?: Maybe<Scalars['ID']['output']>;
};

/** One change, as it was recorded. */
export type AuditEntry = {
  __typename?: 'AuditEntry';
  /** The receipt that the change's answer carried. */
  id: Scalars['ID']['output'];
  /** When it was recorded. */
  createdAt: Scalars['DateTime']['output'];
  /** What was done, dotted, such as accounts.user.created. */
  action: Scalars['String']['output'];
  /** Who did it, such as user:… or system:indexer. */
  actor: Scalars['String']['output'];
  /** What it was done to. */
  target: Scalars['String']['output'];
  /** Details, without secrets and personal data. */
  data?: Maybe<Scalars['JSON']['output']>;
  /** The request it was part of. */
  requestId: Scalars['String']['output'];
  /** Its number in the log; null until the sequencer numbered it. */
  seq?: Maybe<Scalars['BigInt']['output']>;
  /** SHA-256 of the canonical bytes, in hexadecimal. */
  entryHash?: Maybe<Scalars['String']['output']>;
};

/** A proof that a change is in the log. */
export type AuditReceipt = {
  __typename?: 'AuditReceipt';
  /** The receipt. */
  id: Scalars['ID']['output'];
  /** Inclusion proof with its checkpoint (C2SP tlog-proof), checkable offline. */
  proof: Scalars['String']['output'];
};

/** The signed state of the log. */
export type AuditCheckpoint = {
  __typename?: 'AuditCheckpoint';
  /** How many entries it covers. */
  treeSize: Scalars['BigInt']['output'];
  /** The Merkle tree's root, in hexadecimal. */
  rootHash: Scalars['String']['output'];
  /** The signed note (C2SP tlog-checkpoint). */
  note: Scalars['String']['output'];
  /** When it was signed. */
  createdAt: Scalars['DateTime']['output'];
};

/** A person: a citizen known by eID, or staff. */
export type User = {
  __typename?: 'User';
  /** The user's id. */
  id: Scalars['ID']['output'];
  /** Staff's e-mail; citizens may have none. */
  email?: Maybe<Scalars['String']['output']>;
  /** May sign in. */
  isActive: Scalars['Boolean']['output'];
  /** What the person may do. */
  role: Role;
  /** When the person last signed in. */
  lastSignIn?: Maybe<Scalars['DateTime']['output']>;
  /** When the user was created. */
  createdAt: Scalars['DateTime']['output'];
};

/** What a person may do. */
export type Role =
  /** Citizen. */
  | 'CITIZEN'
  /** Viewer. */
  | 'VIEWER'
  /** Administrator. */
  | 'ADMIN';

/** Users, oldest first. */
export type UserPage = {
  __typename?: 'UserPage';
  /** How many there are in all. */
  count: Scalars['Int']['output'];
  /** The users of this page. */
  results: Array<User>;
};

/** Figures for administrators; a source that failed says `error` alone. */
export type AdminMetrics = {
  __typename?: 'AdminMetrics';
  /** per_second, p50_ms, p95_ms, p99_ms, error_ratio over the last minute. */
  requests?: Maybe<Scalars['JSON']['output']>;
  /** Waiting tasks by queue. */
  queues?: Maybe<Scalars['JSON']['output']>;
  /** Workers online, and their names. */
  workers?: Maybe<Scalars['JSON']['output']>;
  /** head, indexed, lag_blocks, lag_seconds. */
  indexer?: Maybe<Scalars['JSON']['output']>;
};

/** Job: a page of a list. */
export type JobConnection = {
  __typename?: 'JobConnection';
  /** What the page shows. */
  edges: Array<JobEdge>;
  /** What lies beyond. */
  pageInfo: PageInfo;
};

/** Job: one in a list. */
export type JobEdge = {
  __typename?: 'JobEdge';
  /** What stands there. */
  node: Job;
  /** Its place in the list. */
  cursor: Scalars['String']['output'];
};

/** One piece of heavy work. */
export type Job = {
  __typename?: 'Job';
  /** The job's id. */
  id: Scalars['ID']['output'];
  /** What it does, such as chain.create_election. */
  type: Scalars['String']['output'];
  /** It failed for good and waits for an operator. */
  isParked: Scalars['Boolean']['output'];
  /** How often it was tried. */
  attempts: Scalars['Int']['output'];
  /** How often it may be tried. */
  maxAttempts: Scalars['Int']['output'];
  /** Where it stands. */
  status: JobStatus;
  /** How far it is. */
  progress: JobProgress;
  /** Why it failed; null unless it did. */
  problem?: Maybe<JobProblem>;
  /** It was asked to stop. */
  isCancelRequested: Scalars['Boolean']['output'];
  /** When it was started. */
  createdAt: Scalars['DateTime']['output'];
  /** When a worker first took it. */
  startedAt?: Maybe<Scalars['DateTime']['output']>;
  /** When it ended. */
  finishedAt?: Maybe<Scalars['DateTime']['output']>;
  /** What it brought; null until it has succeeded, and once that has expired. */
  result?: Maybe<Scalars['JSON']['output']>;
  /** The result is no longer kept. */
  isResultExpired: Scalars['Boolean']['output'];
};

/** Where a job stands. */
export type JobStatus =
  /** Queued. */
  | 'QUEUED'
  /** Running. */
  | 'RUNNING'
  /** Succeeded. */
  | 'SUCCEEDED'
  /** Failed. */
  | 'FAILED'
  /** Cancelled. */
  | 'CANCELLED';

/** How far a job is. */
export type JobProgress = {
  __typename?: 'JobProgress';
  /** Steps done. */
  done: Scalars['BigInt']['output'];
  /** Steps in all, where that is known. */
  total?: Maybe<Scalars['BigInt']['output']>;
  /** What it is doing. */
  message: Scalars['String']['output'];
};

/** Why a job failed. */
export type JobProblem = {
  __typename?: 'JobProblem';
  /** The stable code. */
  code: Scalars['String']['output'];
  /** What happened. */
  detail: Scalars['String']['output'];
};

/** What lies beyond a page. */
export type PageInfo = {
  __typename?: 'PageInfo';
  /** There are more after these. */
  hasNextPage: Scalars['Boolean']['output'];
  /** There are more before these. */
  hasPreviousPage: Scalars['Boolean']['output'];
  /** Give as `before` for the previous page, where a list takes it. */
  startCursor?: Maybe<Scalars['String']['output']>;
  /** Give as `after` for the next page. */
  endCursor?: Maybe<Scalars['String']['output']>;
};

/** A kind of job that you may start. */
export type JobType = {
  __typename?: 'JobType';
  /** Give as `type` of `startJob`. */
  name: Scalars['String']['output'];
  /** What it does. */
  description: Scalars['String']['output'];
  /** The queue in which it waits. */
  queue: Scalars['String']['output'];
  /** JSON Schema of its input. */
  inputSchema: Scalars['JSON']['output'];
  /** Its input is kept encrypted and shown to nobody. */
  isSecret: Scalars['Boolean']['output'];
  /** How often it is tried. */
  maxAttempts: Scalars['Int']['output'];
  /** How long an attempt may take. */
  softTimeLimitSeconds: Scalars['Int']['output'];
  /** How much memory it may take; null: not limited. */
  memoryLimitMb?: Maybe<Scalars['Int']['output']>;
  /** How large its input may be. */
  maxInputBytes: Scalars['Int']['output'];
};

/** The census of a secret ballot; numbers of the proof system are decimal strings. */
export type Census = {
  __typename?: 'Census';
  /** The election's id. */
  election: Scalars['ID']['output'];
  /** What registrations sign and proofs are bound to. */
  scope: Scalars['String']['output'];
  /** People may register now. */
  isOpen: Scalars['Boolean']['output'];
  /** The first block in which they may not; null: there is no registration. */
  registrationEnds?: Maybe<Scalars['BigInt']['output']>;
  /** How many are registered. */
  size: Scalars['Int']['output'];
  /** The Merkle tree's depth. */
  depth: Scalars['Int']['output'];
  /** The tree's root; final once registration has ended. */
  root: Scalars['String']['output'];
  /** The root that the contract holds. */
  rootOnChain?: Maybe<Scalars['String']['output']>;
  /** The commitments in the tree's order. */
  commitments: Array<Scalars['String']['output']>;
};


/** The census of a secret ballot; numbers of the proof system are decimal strings. */
export type CensusCommitmentsArgs = {
  offset?: InputMaybe<Scalars['Int']['input']>;
  limit?: InputMaybe<Scalars['Int']['input']>;
};

/** A proof that a commitment is in a census, as @semaphore-protocol/group makes it. */
export type MerkleProof = {
  __typename?: 'MerkleProof';
  /** The root that it leads to. */
  root: Scalars['String']['output'];
  /** The commitment. */
  leaf: Scalars['String']['output'];
  /** merkleProofIndex: the path's bits. */
  index: Scalars['Int']['output'];
  /** The path, from the leaf. */
  siblings: Array<Scalars['String']['output']>;
};

/** Election: a page of a list. */
export type ElectionConnection = {
  __typename?: 'ElectionConnection';
  /** What the page shows. */
  edges: Array<ElectionEdge>;
  /** What lies beyond. */
  pageInfo: PageInfo;
};

/** Election: one in a list. */
export type ElectionEdge = {
  __typename?: 'ElectionEdge';
  /** What stands there. */
  node: Election;
  /** Its place in the list. */
  cursor: Scalars['String']['output'];
};

/** An election as its events and the chain's head say. */
export type Election = {
  __typename?: 'Election';
  /** Chain, contract and number: 31337-5fbdb231-1. */
  id: Scalars['ID']['output'];
  /** The chain it is on. */
  chainId: Scalars['BigInt']['output'];
  /** The contract's address. */
  contract: Scalars['String']['output'];
  /** Its number on the contract, a decimal uint256. */
  electionId: Scalars['String']['output'];
  /** From the metadata; null when there is none. */
  title?: Maybe<Scalars['String']['output']>;
  /** Where it stands. */
  status: ElectionStatus;
  /** Of the newest fact: how safe from a reorg. */
  finality: Finality;
  /** When voting opens. */
  start: BlockTime;
  /** When voting closes. */
  end: BlockTime;
  /** How many votes were cast. */
  turnout: Scalars['BigInt']['output'];
  /** Votes per option: seen so far, or as published. */
  tally: Array<OptionTally>;
  /** Grows with each change of any election. */
  revision: Scalars['BigInt']['output'];
  /** SHA-256 of the metadata's canonical JSON. */
  metadataHash: Scalars['String']['output'];
  /** Null when nobody has brought a document that matches. */
  metadata?: Maybe<ElectionMetadata>;
  /** The root of who may vote. */
  censusRoot?: Maybe<Scalars['String']['output']>;
  /** The eligibility verifier; null: one vote per sender. */
  verifier?: Maybe<Scalars['String']['output']>;
  /** Where on the chain each fact stands. */
  facts: ElectionFacts;
};

/** Where an election stands. */
export type ElectionStatus =
  /** Pending. */
  | 'PENDING'
  /** Open. */
  | 'OPEN'
  /** Closed. */
  | 'CLOSED'
  /** Tallied. */
  | 'TALLIED'
  /** Cancelled. */
  | 'CANCELLED';

/** How safe a fact is from a reorg. */
export type Finality =
  /** Latest. */
  | 'LATEST'
  /** Safe. */
  | 'SAFE'
  /** Finalized. */
  | 'FINALIZED';

/** A block and its time. */
export type BlockTime = {
  __typename?: 'BlockTime';
  /** The block's number. */
  block: Scalars['BigInt']['output'];
  /** When it came, or is expected to. */
  time?: Maybe<Scalars['DateTime']['output']>;
  /** The block is yet to come; the time is an estimate. */
  isExpected: Scalars['Boolean']['output'];
};

/** The votes of one option. */
export type OptionTally = {
  __typename?: 'OptionTally';
  /** The choice, from 0. */
  option: Scalars['Int']['output'];
  /** From the metadata; null when there is none. */
  label?: Maybe<Scalars['String']['output']>;
  /** How many votes. */
  votes: Scalars['BigInt']['output'];
};

/** What an election is about. */
export type ElectionMetadata = {
  __typename?: 'ElectionMetadata';
  /** The title. */
  title: Scalars['String']['output'];
  /** The description. */
  description: Scalars['String']['output'];
  /** The options' labels. */
  options: Array<Scalars['String']['output']>;
};

/** The facts that an election was folded from; null for what has not happened. */
export type ElectionFacts = {
  __typename?: 'ElectionFacts';
  /** Its creation. */
  created?: Maybe<Fact>;
  /** The setting of its census. */
  censusRootSet?: Maybe<Fact>;
  /** The last vote. */
  lastVote?: Maybe<Fact>;
  /** The published tally. */
  tally?: Maybe<Fact>;
  /** Its cancellation. */
  cancelled?: Maybe<Fact>;
};

/** Where on the chain a fact stands. */
export type Fact = {
  __typename?: 'Fact';
  /** The block's number. */
  blockNumber: Scalars['BigInt']['output'];
  /** The block's hash. */
  blockHash: Scalars['String']['output'];
  /** The block's time. */
  blockTime: Scalars['DateTime']['output'];
  /** The transaction's hash. */
  txHash: Scalars['String']['output'];
  /** The log's place in the block. */
  logIndex: Scalars['Int']['output'];
  /** How safe it is from a reorg. */
  finality: Finality;
};

/** How elections are ordered. */
export type ElectionOrdering =
  /** Created last, first. */
  | 'NEWEST'
  /** Created first, first. */
  | 'OLDEST'
  /** Ending first, first. */
  | 'ENDS_FIRST'
  /** Ending last, first. */
  | 'ENDS_LAST';

/** The votes of an election by option. */
export type Tally = {
  __typename?: 'Tally';
  /** The contract published it; else votes seen so far. */
  isPublished: Scalars['Boolean']['output'];
  /** How safe it is from a reorg. */
  finality: Finality;
  /** All votes. */
  total: Scalars['BigInt']['output'];
  /** Votes per option. */
  options: Array<OptionTally>;
};

/** How many voted. */
export type Turnout = {
  __typename?: 'Turnout';
  /** How many votes were cast. */
  votes: Scalars['BigInt']['output'];
  /** How safe the figure is from a reorg. */
  finality: Finality;
  /** Voting has closed. */
  isFinal: Scalars['Boolean']['output'];
};

/** What may be changed. */
export type Mutation = {
  __typename?: 'Mutation';
  /** Create a user; for administrators. */
  createUser: CreateUser;
  /** Delete a user; for administrators. */
  deleteUser: DeleteUser;
  /** Give a user another role; for administrators. */
  setRole: SetRole;
  /** Start a job. */
  startJob: StartJob;
  /** Cancel a job. */
  cancelJob: CancelJob;
  /** Register an identity for an election. */
  registerVoter: RegisterVoter;
  /** End the registration for an election. */
  closeCensus: CloseCensus;
  /** Ask the chain for a new election. */
  createElection: CreateElection;
  /** Ask the chain to cancel an election that has not ended. */
  cancelElection: CancelElection;
  /** Ask the chain for an election's tally. */
  finaliseElection: FinaliseElection;
  /** Bring the document that an election names by its hash. */
  bringElectionMetadata: BringElectionMetadata;
};


/** What may be changed. */
export type MutationCreateUserArgs = {
  email: Scalars['String']['input'];
  role: Role;
};


/** What may be changed. */
export type MutationDeleteUserArgs = {
  id: Scalars['ID']['input'];
};


/** What may be changed. */
export type MutationSetRoleArgs = {
  id: Scalars['ID']['input'];
  role: Role;
};


/** What may be changed. */
export type MutationStartJobArgs = {
  idempotencyKey?: InputMaybe<Scalars['String']['input']>;
  input: Scalars['JSON']['input'];
  type: Scalars['String']['input'];
};


/** What may be changed. */
export type MutationCancelJobArgs = {
  id: Scalars['ID']['input'];
};


/** What may be changed. */
export type MutationRegisterVoterArgs = {
  id: Scalars['ID']['input'];
  input: Registration;
};


/** What may be changed. */
export type MutationCloseCensusArgs = {
  id: Scalars['ID']['input'];
  idempotencyKey?: InputMaybe<Scalars['String']['input']>;
};


/** What may be changed. */
export type MutationCreateElectionArgs = {
  idempotencyKey?: InputMaybe<Scalars['String']['input']>;
  input: NewElection;
};


/** What may be changed. */
export type MutationCancelElectionArgs = {
  id: Scalars['ID']['input'];
  idempotencyKey?: InputMaybe<Scalars['String']['input']>;
};


/** What may be changed. */
export type MutationFinaliseElectionArgs = {
  id: Scalars['ID']['input'];
  idempotencyKey?: InputMaybe<Scalars['String']['input']>;
};


/** What may be changed. */
export type MutationBringElectionMetadataArgs = {
  document: NewElectionMetadata;
  hash: Scalars['String']['input'];
};

/** Create a user, who signs in first by the invitation. */
export type CreateUser = {
  __typename?: 'CreateUser';
  /** The user. */
  user: User;
  /** Where the person signs in by eID for the first time; valid for a week, once. */
  invitationUrl: Scalars['String']['output'];
};

/** Delete a user: sign-ins end, the e-mail is free again, the audit trail stays. */
export type DeleteUser = {
  __typename?: 'DeleteUser';
  /** The deleted user's id. */
  id: Scalars['ID']['output'];
};

/** Give a user another role, at once also for tokens already issued. */
export type SetRole = {
  __typename?: 'SetRole';
  /** The user. */
  user: User;
};

/** Start a job; its type's schema (`jobTypes`) says what the input is. */
export type StartJob = {
  __typename?: 'StartJob';
  /** The job, queued. */
  job: Job;
};

/** Cancel a job: at once while it waits; a running one stops soon after. */
export type CancelJob = {
  __typename?: 'CancelJob';
  /** The job as it stands now. */
  job: Job;
};

/** Register an identity for an election, once for each person who signed in with an eID. */
export type RegisterVoter = {
  __typename?: 'RegisterVoter';
  /** Its place in the tree. */
  index: Scalars['Int']['output'];
  /** Its commitment, decimal. */
  commitment: Scalars['String']['output'];
  /** How many are registered now. */
  size: Scalars['Int']['output'];
};

/** A Semaphore identity, and the proof that it is the caller's. */
export type Registration = {
  /** A point, two decimal numbers. */
  publicKey: Array<Scalars['String']['input']>;
  /** Made with the identity's key over the election's scope. */
  signature: IdentitySignature;
};

/** An EdDSA signature on BabyJubJub. */
export type IdentitySignature = {
  /** A point, two decimal numbers. */
  r8: Array<Scalars['String']['input']>;
  /** A decimal number. */
  s: Scalars['String']['input'];
};

/** End registration now and set the census root on chain; otherwise it ends some blocks before the start. */
export type CloseCensus = {
  __typename?: 'CloseCensus';
  /** The job that sends the transaction. */
  job: StartedJob;
};

/** A job that was started; the `job` query tells how it goes. */
export type StartedJob = {
  __typename?: 'StartedJob';
  /** The job's id. */
  jobId: Scalars['ID']['output'];
  /** Where it stands. */
  status: Scalars['String']['output'];
};

/** Ask the chain for a new election; it appears once the transaction is mined and indexed. */
export type CreateElection = {
  __typename?: 'CreateElection';
  /** The job that sends the transaction. */
  job: StartedJob;
  /** SHA-256 of the metadata's canonical JSON. */
  metadataHash: Scalars['String']['output'];
};

/** An election to be created on chain. */
export type NewElection = {
  /** What it is about. */
  metadata: NewElectionMetadata;
  /** The first block in which votes count. */
  startBlock: Scalars['BigInt']['input'];
  /** The block from which none counts any more. */
  endBlock: Scalars['BigInt']['input'];
  /** The root of who may vote, 0x and 64 digits. */
  censusRoot?: InputMaybe<Scalars['String']['input']>;
  /** The eligibility verifier's address; none: one vote per sender. */
  verifier?: InputMaybe<Scalars['String']['input']>;
};

/** What the election is about. */
export type NewElectionMetadata = {
  /** At most 200 characters. */
  title: Scalars['String']['input'];
  /** At most 10,000 characters. */
  description: Scalars['String']['input'];
  /** 2 to 255 labels of at most 200 characters. */
  options: Array<Scalars['String']['input']>;
};

/** Ask the chain to cancel an election that has not ended. */
export type CancelElection = {
  __typename?: 'CancelElection';
  /** The job that sends the transaction. */
  job: StartedJob;
};

/** Ask the chain to publish the tally of an election that has ended. */
export type FinaliseElection = {
  __typename?: 'FinaliseElection';
  /** The job that sends the transaction. */
  job: StartedJob;
};

/** Bring the document that an election names by its hash; refused when it has another hash. */
export type BringElectionMetadata = {
  __typename?: 'BringElectionMetadata';
  /** The document's hash. */
  hash: Scalars['String']['output'];
};
