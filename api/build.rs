//! Generates the gRPC code from the proto with a compiler written in Rust, so that building
//! Ducat needs no protoc. The descriptor set also feeds the reflection service.
//!
//! Twice: messages and clients as prost makes them, and the servers alone with the two large
//! requests replaced by ones that are read faster (see `src/wire_requests.rs`) and their answers
//! by ones that arrive encoded (see `src/wire.rs`).

use prost::Message as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "ducat/v1/ledger.proto",
            "ducat/v1/driven.proto",
            "ducat/v1/audit.proto",
            "ducat/v1/approvals.proto",
            "ducat/v1/login.proto",
        ],
        ["proto"],
    )?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("ducat.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_server(false)
        // In one order, whoever asks.
        .btree_map(".ducat.v1")
        // Rare and large: inline they would double the size of every outcome in memory.
        .boxed(".ducat.v1.Balance.wide")
        .boxed(".ducat.v1.HoldOutcome.wide")
        .boxed(".ducat.v1.Outcome.hold")
        .boxed(".ducat.v1.Outcome.refund")
        .boxed(".ducat.v1.Outcome.terms")
        .boxed(".ducat.v1.Outcome.fee")
        .boxed(".ducat.v1.TransferRequest.terms")
        .boxed(".ducat.v1.TransferRequest.note")
        .compile_fds(descriptors.clone())?;
    let servers = out.join("servers");
    std::fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(servers)
        .codec_path("crate::small_codec::SmallCodec")
        .extern_path(".ducat.v1", "crate::proto")
        .extern_path(".ducat.v1.CreateTransfersRequest", "crate::wire_requests::BatchRequest")
        .extern_path(".ducat.v1.StreamTransfersRequest", "crate::wire_requests::StreamRequest")
        .extern_path(".ducat.v1.CreateTransfersResponse", "crate::wire::Encoded")
        .extern_path(".ducat.v1.StreamTransfersResponse", "crate::wire::Encoded")
        .extern_path(".ducat.v1.SubscribeResponse", "crate::wire::Encoded")
        .compile_fds(descriptors.clone())?;
    // For tests of clients against a server that lies: the servers with plain messages.
    if std::env::var_os("CARGO_FEATURE_TESTING").is_some() {
        let plain = out.join("plain-servers");
        std::fs::create_dir_all(&plain)?;
        tonic_prost_build::configure()
            .build_client(false)
            .out_dir(plain)
            .extern_path(".ducat.v1", "crate::proto")
            .compile_fds(descriptors)?;
    }
    Ok(())
}
