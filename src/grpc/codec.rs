//! Protobuf with buffers of the size of our messages, and no more fields than any of them needs.
//!
//! tonic takes 8 KiB for each message, read or written; most of ours have less than one, and a longer one grows its buffer. Two bytes
//! of a message can be an element of a list that takes some hundred when it is decoded.

use std::{fmt, marker::PhantomData};

use prost::{
    DecodeError, Message,
    bytes::Buf,
    encoding::{DecodeContext, decode_key, skip_field},
};
use tonic::{
    Status,
    codec::{BufferSettings, DecodeBuf},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// The most fields of a message, each element of a list counted. A long scope has thousands.
const MAX_FIELDS: usize = 4096;

/// As much as the allocator keeps at hand, and how much of a stream is written at once.
fn buffers() -> BufferSettings {
    BufferSettings::new(1024, 32 * 1024)
}

/// Encodes `T` and decodes `U`.
pub(super) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> fmt::Debug for Codec<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Decoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> Decoder<U> {
        Decoder(ProstDecoder::new(buffers()))
    }
}

/// Decodes `U`, unless it has too many fields.
#[derive(Debug)]
pub(super) struct Decoder<U>(ProstDecoder<U>);

impl<U: Message + Default> tonic::codec::Decoder for Decoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message lies in one piece.
        match fields(buf.chunk()) {
            Ok(count) if count > MAX_FIELDS => {
                Err(Status::invalid_argument(format!("a message has at most {MAX_FIELDS} fields")))
            }
            _ => self.0.decode(buf),
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

/// How many fields a message has, those of its messages not counted.
fn fields(mut message: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message)?;
        skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::pb::token as pb;

    #[test]
    fn every_field_counts_and_nothing_within_them() {
        let item = pb::IntrospectRequest { required_scopes: vec![String::new(); 50], ..Default::default() };
        let batch = pb::BatchIntrospectRequest {
            requests: vec![item; 7],
            client_id: "a".to_owned(),
            ..Default::default()
        };
        assert_eq!(fields(&batch.encode_to_vec()), Ok(8));
        assert_eq!(fields(&[]), Ok(0));
        assert!(fields(&[10, 5, 1]).is_err() && fields(&[0xff]).is_err());
    }
}
