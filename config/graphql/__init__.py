"""The GraphQL door: limits before parsing, lean execution, errors with REST's codes."""
