//! JSON -> `google.protobuf.Struct` (the JSON mapping of protobuf). Numbers become doubles; who needs them exact reads
//! `claims_json`.

use prost_types::{ListValue, Struct, Value, value::Kind};

/// A JSON object as a Struct; `None` when the text is not an object.
pub(super) fn to_struct(json: &[u8]) -> Option<Struct> {
    match convert(serde_json::from_slice(json).ok()?).kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

fn convert(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;

    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        Json::String(value) => Kind::StringValue(value),
        Json::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(convert).collect() })
        }
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, value)| (name, convert(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
