// Lists the open elections, in a browser, Deno, Bun or Node: `fetch` is all that it needs.
import type { Election, ElectionConnection, QueryElectionsArgs } from "./schema.ts";

const QUERY = `query Open($after: String) {
  elections(status: OPEN, first: 100, after: $after) {
    edges { node { id title turnout tally { label votes } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** The answer had errors; each has a `code` that stays and a `status`. */
export class Refused extends Error {
  constructor(readonly codes: string[]) {
    super(codes.join(", "));
  }
}

type Answer<Data> = { data?: Data | null; errors?: { message: string; extensions: { code: string; status: number } }[] };

export async function ask<Data>(url: string, query: string, variables: object): Promise<Data> {
  const response = await fetch(`${url}/graphql`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const answer = (await response.json()) as Answer<Data>;
  if (answer.errors || !answer.data) throw new Refused((answer.errors ?? []).map((error) => error.extensions.code));
  return answer.data;
}

export async function* openElections(url: string): AsyncGenerator<Pick<Election, "id" | "title" | "turnout" | "tally">> {
  let after: QueryElectionsArgs["after"];
  do {
    const { elections } = await ask<{ elections: ElectionConnection }>(url, QUERY, { after });
    for (const { node } of elections.edges) yield node;
    after = elections.pageInfo.hasNextPage ? elections.pageInfo.endCursor : null;
  } while (after);
}
