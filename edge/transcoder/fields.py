"""Small questions about field descriptors that several modules ask."""

from protobuf import (
    DescEnum,
    DescExtension,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Registry,
    ScalarType,
)

Kind = ScalarType | DescEnum | DescMessage

HTTP_BODY = "google.api.HttpBody"


def kind_of(field: DescField | DescExtension) -> Kind:
    """What one value of the field is: of a list an element, of a map a value."""
    match field.value:
        case DescFieldValueScalar(scalar=scalar):
            return scalar
        case DescFieldValueEnum(enum=enum):
            return enum
        case DescFieldValueMessage(message=message):
            return message
        case DescFieldValueList(element=element):
            return element
        case DescFieldValueMap(value=value):
            return value


def is_singular(field: DescField | DescExtension) -> bool:
    return not isinstance(field.value, DescFieldValueList | DescFieldValueMap)


def is_map(field: DescField) -> bool:
    return isinstance(field.value, DescFieldValueMap)


def by_name(message: DescMessage) -> dict[str, DescField]:
    """The fields by every name that JSON may use: their own, and their JSON name."""
    return {field.name: field for field in message.fields} | {field.json_name: field for field in message.fields}


def extension_named(name: str, registry: Registry) -> DescExtension | None:
    """The extension that a member of a JSON object names, as `[package.name]`."""
    return registry.extension(name[1:-1]) if name[:1] == "[" and name[-1:] == "]" else None


def is_http_body(kind: Kind) -> bool:
    return isinstance(kind, DescMessage) and kind.type_name == HTTP_BODY


def is_raw_body(message: DescMessage, field: DescField | None) -> bool:
    """Whether the body that is a message, or one of its fields, is a google.api.HttpBody, as it is."""
    return is_http_body(kind_of(field) if field else message) and (field is None or is_singular(field))


def is_plain_message(kind: Kind) -> bool:
    """Whether the JSON of the kind is an object with its fields: not so for the well-known types, and HttpBody."""
    return (
        isinstance(kind, DescMessage) and not kind.type_name.startswith("google.protobuf.") and not is_http_body(kind)
    )
