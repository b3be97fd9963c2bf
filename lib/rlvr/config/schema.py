"""The schema of a config: defaults filled in, and every problem said in one plain line.

The schema is config/schema.yaml. Its keyword `names` allows the names registered under a word, so that a new
verifier or template needs no edit of the schema.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

SCHEMA_PATH = Path(__file__).parents[3] / "config" / "schema.yaml"
# The C parser, where PyYAML has it: every start of Snakemake reads a long schema.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

TYPE_WORDS = {
    "object": "a section of keys",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
BOUND_WORDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "greater than {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "{} or more entries",
    "maxItems": "{} or fewer entries",
    "minProperties": "{} or more entries",
    "minLength": "{} or more characters",
}


# Further steps of the key's path, and what is wrong there.
Explanation = Iterator[tuple[list[str], str]]


@cache
def read_schema() -> dict[str, Any]:
    """The schema as written in config/schema.yaml."""
    return yaml.load(SCHEMA_PATH.read_text(encoding="utf-8"), Loader=YAML_LOADER)


@cache
def registered_names(word: str) -> tuple[str, ...]:
    """The names that the package registers under `word`: verifiers, templates, families or row schemas."""
    from rlvr.data.families import FAMILIES
    from rlvr.data.hub_schemas import ROW_SCHEMAS
    from rlvr.data.templates import TEMPLATES
    from rlvr.verify.registry import VERIFIERS

    registries: dict[str, Iterable[str]] = {
        "verifiers": VERIFIERS,
        "templates": TEMPLATES,
        "families": FAMILIES,
        "row schemas": ROW_SCHEMAS,
    }
    return tuple(registries[word])


def resolve(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with its `$ref` replaced by what it points to; its own keys win."""
    if "$ref" not in schema:
        return dict(schema)
    target = read_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**resolve(target), **{key: value for key, value in schema.items() if key != "$ref"}}


def branch(schema: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a section that comes in kinds: the one of its `kind` (elsewhere `schema` itself)."""
    for choice in schema.get("allOf", ()):
        if choice["if"]["properties"]["kind"]["const"] == section.get("kind"):
            return {**schema, **resolve(choice["then"])}
    return dict(schema)


def fill_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """A copy of `value` with the defaults of `schema` at every depth, keys in the schema's order.

    Numbers take the schema's type (2 becomes 2.0 where any number is allowed), so that two spellings of a
    value are equal. What does not fit the schema is left as it is.
    """
    schema = resolve(schema)
    if isinstance(value, Mapping):
        return _fill_section(value, schema)
    if isinstance(value, list):
        return [fill_defaults(entry, schema.get("items", {})) for entry in value]
    return _plain_value(value, schema.get("type", []))


def _plain_value(value: Any, allowed: str | list[str]) -> Any:
    """`value` in the type that the schema allows, where it can be read as that.

    Snakemake's --config passes everything inside braces as text, and YAML reads 1e-5 as text.
    """
    if isinstance(value, str) and "string" not in allowed:
        value = _read_text(value, allowed)
    if "number" in allowed and type(value) is int:
        return float(value)
    if "integer" in allowed and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read_text(text: str, allowed: str | list[str]) -> Any:
    if "boolean" in allowed or "null" in allowed:
        words = {"true": True, "false": False, "null": None}
        if text.lower() in words:
            return words[text.lower()]
    if "integer" in allowed or "number" in allowed:
        try:
            return float(text) if set(text.lower()) & set(".en") else int(text)
        except ValueError:
            return text
    return text


def _fill_section(section: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    filled = dict(section)
    if "kind" in schema.get("properties", {}):
        kind = schema["properties"]["kind"]
        if "kind" not in filled and "default" in kind:
            filled["kind"] = kind["default"]
        schema = branch(schema, filled)
    properties = schema.get("properties", {})
    for key, sub_schema in properties.items():
        if key not in filled and "default" in sub_schema:
            filled[key] = sub_schema["default"]
    others = schema.get("additionalProperties")
    order = [key for key in properties if key in filled] + [key for key in filled if key not in properties]
    return {key: fill_defaults(filled[key], properties.get(key, others or {})) for key in order}


def _check_names(_: Any, word: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if instance not in registered_names(word):
        yield ValidationError(f"{instance!r} is unknown")


def _is_finite_number(_: Any, instance: Any) -> bool:
    """Every bound lets NaN pass, and a lower one infinity, with neither of which anything can be computed."""
    return Draft202012Validator.TYPE_CHECKER.is_type(instance, "number") and isfinite(instance)


@cache
def _validator(definition: str) -> Any:
    numbers = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite_number)
    checker = extend(Draft202012Validator, {"names": _check_names}, type_checker=numbers)
    schema = read_schema()
    return checker({"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"} if definition else schema)


def find_problems(value: Any, definition: str = "", key: Sequence[str] = ()) -> list[str]:
    """Every way in which a config departs from the schema, a line each: `key.path: what; allowed: ...`.

    With `definition`, a value at `key` of the config departs from that part of the schema's `$defs`.
    """
    lines = []
    for error in sorted(
        _validator(definition).iter_errors(value), key=lambda error: list(map(str, error.absolute_path))
    ):
        lines += _explain(error, key)
    return list(dict.fromkeys(lines))  # each of several missing keys is an error that names all of them


def _explain(error: ValidationError, key: Sequence[str]) -> list[str]:
    path = [*key, *map(str, error.absolute_path)]
    if "propertyNames" in error.absolute_schema_path:
        path.append(str(_found_by(error)))  # YAML reads 1 and yes as other than text
    explain = _EXPLAINED.get(str(error.validator), _explain_value)
    return [f"{'.'.join([*path, *rest]) or 'the config'}: {text}" for rest, text in explain(error)]


def _schema_of(error: ValidationError) -> Mapping[str, Any]:
    """The part of the schema that is not met."""
    assert isinstance(error.schema, Mapping), "the schema has no part that forbids everything"
    return error.schema


def _found_by(error: ValidationError) -> Any:
    """What the config has there."""
    return error.instance


def _demand_of(error: ValidationError) -> Any:
    """What the keyword that is not met asks for, as the schema writes it."""
    return error.validator_value


def line(key: str, wrong: str, allowed: str) -> str:
    """What is wrong at a key, in the form of all messages about a config."""
    return f"{key}: {wrong}; allowed: {allowed}"


def _explain_value(error: ValidationError) -> Explanation:
    yield [], f"{show(_found_by(error))} is not allowed; allowed: {describe(_schema_of(error))}"


def _explain_unknown_keys(error: ValidationError) -> Explanation:
    known = list(_schema_of(error).get("properties", {}))
    for key in map(str, _found_by(error)):
        if key not in known:
            yield [key], f"unknown key{hint(key, known)}; allowed: {', '.join(known)}"


def hint(written: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` where a known name is near to what was written."""
    close = get_close_matches(written, list(known), 1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _explain_missing_keys(error: ValidationError) -> Explanation:
    for key in _demand_of(error):
        if key not in _found_by(error):
            properties = _schema_of(error).get("properties", {})
            yield [key], f"missing; allowed: {describe(resolve(properties.get(key, {})))}"


def _explain_type(error: ValidationError) -> Explanation:
    yield [], f"{show(_found_by(error))} is of the wrong type; allowed: {describe(_schema_of(error))}"


def _explain_names(error: ValidationError) -> Explanation:
    names = registered_names(_demand_of(error))
    found = _found_by(error)
    yield [], f"{show(found)} is unknown{hint(str(found), names)}; allowed: {', '.join(names)}"


_EXPLAINED: dict[str, Callable[[ValidationError], Explanation]] = {
    "additionalProperties": _explain_unknown_keys,
    "required": _explain_missing_keys,
    "type": _explain_type,
    "names": _explain_names,
}


def show(value: Any) -> str:
    """A value as a person would write it in YAML, cut to a readable length."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
    return text if len(text) <= 60 else text[:57] + "..."


def describe(schema: Mapping[str, Any]) -> str:
    """What a schema allows, in words."""
    if "names" in schema:
        return ", ".join(registered_names(schema["names"]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "pattern_meaning" in schema:
        return schema["pattern_meaning"]
    types = schema.get("type", [])
    words = [TYPE_WORDS[name] for name in ([types] if isinstance(types, str) else types)]
    bounds = [text.format(schema[key]) for key, text in BOUND_WORDS.items() if key in schema]
    unique = ["no entry twice"] if schema.get("uniqueItems") else []
    return ", ".join([" or ".join(words), *bounds, *unique]) or "see config/schema.yaml"
