// Starts GraphiQL over this server; put `{"Authorization": "Bearer …"}` into its headers.
const query = `# Ctrl-Enter runs it. Authorization: see Headers.
query Elections {
  elections(first: 10) {
    edges {
      node {
        id
        title
        status
        turnout
        tally {
          label
          votes
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`;
const fetcher = GraphiQL.createFetcher({
  url: "/graphql",
  // The server knows no other members of a request.
  fetch: (url, options) => {
    const { query, variables, operationName } = JSON.parse(options.body);
    return fetch(url, { ...options, body: JSON.stringify({ query, variables, operationName }) });
  },
});
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher, defaultQuery: query, defaultEditorToolsVisibility: "headers" }),
);
