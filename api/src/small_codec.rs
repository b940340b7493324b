//! prost's codec with buffers of a small call's size. The default of 8 KiB for each request
//! and each answer costs a call of one transfer more than its bytes; a batch makes the buffer
//! as large as it needs either way.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// What a buffer starts with, bytes.
const BUFFER_BYTES: usize = 512;

/// At how many encoded bytes a stream's messages are handed on, those so far: tonic's own.
const HAND_ON_BYTES: usize = 32 * 1024;

/// The codec of the generated servers.
#[derive(Debug, Clone)]
pub struct SmallCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, HAND_ON_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, HAND_ON_BYTES))
    }
}
