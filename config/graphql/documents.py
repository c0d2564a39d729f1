"""Prepares GraphQL documents: limits first, then parsing, then validation; what passed is kept."""

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    IntValueNode,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Source,
    TokenKind,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import NoSchemaIntrospectionCustomRule

from config.graphql.errors import RequestRefused

OPENING = {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L}
CLOSING = {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R}
# Brackets of any kind inside one another: the parser recurses with them.
MAX_NESTING = 40
# The rule for overlapping fields compares all that share a name.
MAX_SAME_NAME = 5
SIZE_ARGUMENTS = ("first", "last", "limit")
SIZE_WITHOUT_ARGUMENT = 50
PAGE_FIELDS = {"edges", "results"}
SIZE_OF_OTHER_LISTS = 5
KEPT_DOCUMENTS = 500
# Each field at the root beyond the first is what REST would take another token for: changes cost as much here, reads
# have a discount.
FIELDS_PER_TOKEN = {OperationType.QUERY: 4, OperationType.MUTATION: 1}


@dataclass(slots=True)
class Prepared:
    """A document that passed every limit and rule."""

    document: DocumentNode
    operations: dict[str, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    costs: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """Return the operation to run; raise RequestRefused for an unknown name, or none where there are several."""
        if name is None:
            if len(self.operations) != 1:
                raise RequestRefused("operation_name_missing", "The document holds several operations; name one.")
            return next(iter(self.operations.values()))
        if name not in self.operations:
            raise RequestRefused("unknown_operation", "The document holds no operation of this name.")
        return self.operations[name]


class Documents:
    """The prepared documents that this process holds, the least recently used go first."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.kept: OrderedDict[tuple[str, bool], Prepared] = OrderedDict()
        self.lock = threading.Lock()

    def prepare(self, text: str) -> Prepared:
        """Return a document ready to run; raise RequestRefused, with every reason, for one that may not run."""
        key = (text, settings.GRAPHQL_INTROSPECTION)
        with self.lock:
            found = self.kept.get(key)
            if found is not None:
                self.kept.move_to_end(key)
                return found
        prepared = self.check(text)
        with self.lock:
            self.kept[key] = prepared
            while len(self.kept) > KEPT_DOCUMENTS:
                self.kept.popitem(last=False)
        return prepared

    def check(self, text: str) -> Prepared:
        scan(text)
        try:
            document = parse(text, max_tokens=settings.GRAPHQL_MAX_TOKENS)
        except GraphQLSyntaxError as error:
            raise RequestRefused("syntax_error", error.message, graphql_errors=[error]) from error
        measure(document)
        introspection = [] if settings.GRAPHQL_INTROSPECTION else [NoSchemaIntrospectionCustomRule]
        errors = validate(
            self.schema,
            document,
            [*specified_rules, *introspection],
            max_errors=10,
            hide_suggestions=not settings.GRAPHQL_INTROSPECTION,
        )
        if errors:
            raise RequestRefused("validation_failed", "The document does not fit the schema.", graphql_errors=errors)
        definitions = document.definitions
        operations = [one for one in definitions if isinstance(one, OperationDefinitionNode)]
        fragments = {one.name.value: one for one in definitions if isinstance(one, FragmentDefinitionNode)}
        if not operations:
            raise RequestRefused("no_operation", "The document holds no operation.")
        if any(one.operation == OperationType.SUBSCRIPTION for one in operations):
            raise RequestRefused("no_subscriptions", "Changes are pushed over WebSockets (/ws/…), not here.")
        prepared = Prepared(document, {one.name.value if one.name else "": one for one in operations}, fragments)
        check_depth(prepared)
        return prepared

    def cost(self, prepared: Prepared, operation: OperationDefinitionNode, variables: dict[str, Any]) -> int:
        """Count an operation's points: a field is one, times the size of the lists around it."""
        sizes = tuple(sorted((name, value) for name, value in variables.items() if type(value) is int))
        key = (id(operation), sizes)
        if key not in prepared.costs:
            defaults = {
                one.variable.name.value: int(one.default_value.value)
                for one in operation.variable_definitions
                if isinstance(one.default_value, IntValueNode)
            }
            root = self.schema.get_root_type(operation.operation)
            counted = cost_of(operation.selection_set, root, prepared.fragments, defaults | dict(sizes), {})
            fields = count_roots(operation.selection_set, prepared.fragments, {})
            counted += max(0, fields - 1) * settings.GRAPHQL_COST_PER_TOKEN // FIELDS_PER_TOKEN[operation.operation]
            if len(prepared.costs) > 100:
                prepared.costs.clear()
            prepared.costs[key] = counted
        return prepared.costs[key]


def scan(text: str) -> None:
    """Count tokens and nesting without building anything; raise RequestRefused past a limit."""
    if len(text) > settings.GRAPHQL_MAX_QUERY_CHARACTERS:
        raise RequestRefused(
            "query_too_long", f"A query has at most {settings.GRAPHQL_MAX_QUERY_CHARACTERS} characters."
        )
    if text.count("#") > settings.GRAPHQL_MAX_TOKENS:
        raise RequestRefused("too_many_tokens", "The query has too many comments.")
    lexer = Lexer(Source(text))
    tokens = nesting = 0
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            tokens += 1
            if tokens > settings.GRAPHQL_MAX_TOKENS:
                raise RequestRefused("too_many_tokens", f"A query has at most {settings.GRAPHQL_MAX_TOKENS} tokens.")
            if token.kind in OPENING:
                nesting += 1
                if nesting > MAX_NESTING:
                    raise RequestRefused("too_deep", "The query is nested too deeply.")
            elif token.kind in CLOSING:
                nesting -= 1
    except GraphQLSyntaxError as error:
        raise RequestRefused("syntax_error", error.message, graphql_errors=[error]) from error


def measure(document: DocumentNode) -> None:
    """Count what makes validation or execution costly; raise RequestRefused past a limit."""
    fragments = sum(isinstance(one, FragmentDefinitionNode) for one in document.definitions)
    limit(fragments, settings.GRAPHQL_MAX_FRAGMENTS, "too_many_fragments", "fragments")
    limit(len(document.definitions) - fragments, 10, "too_many_operations", "operations")
    fields = aliases = directives = 0
    waiting: list[Any] = []
    for definition in document.definitions:
        directives += len(getattr(definition, "directives", None) or ())
        for variable in getattr(definition, "variable_definitions", None) or ():
            directives += len(variable.directives or ())
        if getattr(definition, "selection_set", None):
            waiting.append(definition.selection_set)  # type: ignore[attr-defined]
    while waiting:
        names: Counter[str] = Counter()
        for selection in waiting.pop().selections:
            directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                fields += 1
                aliases += selection.alias is not None
                names[(selection.alias or selection.name).value] += 1
            elif isinstance(selection, FragmentSpreadNode):
                names[f"...{selection.name.value}"] += 1
            if getattr(selection, "selection_set", None):
                waiting.append(selection.selection_set)
        limit(max(names.values(), default=0), MAX_SAME_NAME, "duplicated_fields", "fields of one name in one place")
        limit(fields, settings.GRAPHQL_MAX_FIELDS, "too_many_fields", "fields")
        limit(aliases, settings.GRAPHQL_MAX_ALIASES, "too_many_aliases", "aliases")
        limit(directives, settings.GRAPHQL_MAX_DIRECTIVES, "too_many_directives", "directives")
    limit(directives, settings.GRAPHQL_MAX_DIRECTIVES, "too_many_directives", "directives")


def limit(found: int, allowed: int, code: str, what: str) -> None:
    if found > allowed:
        raise RequestRefused(code, f"A query has at most {allowed} {what}.")


def check_depth(prepared: Prepared) -> None:
    """Refuse documents deeper than the limit, through fragments (validation has refused their cycles)."""
    known: dict[str, int] = {}

    def depth(selections: SelectionSetNode) -> int:
        deepest = 0
        for selection in selections.selections:
            if isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in known:
                    known[name] = depth(prepared.fragments[name].selection_set)
                deepest = max(deepest, known[name])
            elif isinstance(selection, FieldNode):
                # Introspection nests by itself, and is off where it matters.
                is_own = selection.name.value not in {"__schema", "__type"}
                below = selection.selection_set
                deepest = max(deepest, 1 + (depth(below) if below and is_own else 0))
            else:
                deepest = max(deepest, depth(selection.selection_set))  # type: ignore[attr-defined]
        return deepest

    deepest = max(depth(one.selection_set) for one in prepared.operations.values())
    limit(deepest, settings.GRAPHQL_MAX_DEPTH, "too_deep", "levels")


def count_roots(
    selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], known: dict[str, int]
) -> int:
    """Count the fields at the root that something must be done for, through fragments."""
    total = 0
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            total += not selection.name.value.startswith("__")
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in known:
                known[name] = count_roots(fragments[name].selection_set, fragments, known)
            total += known[name]
        else:
            total += count_roots(selection.selection_set, fragments, known)  # type: ignore[attr-defined]
    return total


def cost_of(
    selections: SelectionSetNode,
    parent: GraphQLNamedType | None,
    fragments: dict[str, FragmentDefinitionNode],
    variables: dict[str, int],
    known: dict[str, int],
) -> int:
    total = 0
    for selection in selections.selections:
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in known:
                known[name] = cost_of(fragments[name].selection_set, parent, fragments, variables, known)
            total += known[name]
        elif isinstance(selection, FieldNode):
            definition = parent.fields.get(selection.name.value) if isinstance(parent, GraphQLObjectType) else None
            below = selection.selection_set
            if definition is None:
                total += 1
            elif below is None:
                has_size = any(name in definition.args for name in SIZE_ARGUMENTS)
                total += 1 + (size_of(selection, definition, variables) if has_size else 0)
            else:
                inner = cost_of(below, get_named_type(definition.type), fragments, variables, known)
                total += 1 + size_of(selection, definition, variables) * inner
        else:
            total += cost_of(selection.selection_set, parent, fragments, variables, known)  # type: ignore[attr-defined]
    return total


def size_of(node: FieldNode, definition: Any, variables: dict[str, int]) -> int:
    """Tell how many times what is below a field may be there."""
    sizes = []
    for argument in node.arguments:
        if argument.name.value in SIZE_ARGUMENTS:
            if isinstance(argument.value, IntValueNode):
                sizes.append(int(argument.value.value[:10]))
            elif isinstance(argument.value, VariableNode) and argument.value.name.value in variables:
                sizes.append(variables[argument.value.name.value])
    if sizes:
        return max(1, min(max(sizes), 10_000))
    if any(name in definition.args for name in SIZE_ARGUMENTS):
        return SIZE_WITHOUT_ARGUMENT
    kind = definition.type.of_type if is_non_null_type(definition.type) else definition.type
    return SIZE_OF_OTHER_LISTS if is_list_type(kind) and node.name.value not in PAGE_FIELDS else 1
