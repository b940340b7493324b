//! Ducat's door: the gRPC services, what they convert and refuse, and the Rust client.

/// The generated code of package `ducat.v1`.
#[allow(clippy::all, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("ducat.v1");

    /// The encoded descriptor set, for the reflection service.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/ducat.v1.bin"));
}
