//! Compiles `proto/` with protox (pure Rust, no protoc) and emits the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(["mintage/token/v1/token_service.proto", "mintage/token/v1/key_service.proto"])?
        .file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    tonic_prost_build::configure()
        // Secrets and tokens must not be printable: these messages get their own redacting Debug in src/grpc.
        .skip_debug([
            "mintage.token.v1.ClientSecret",
            "mintage.token.v1.IssueResponse",
            "mintage.token.v1.IntrospectRequest",
            "mintage.token.v1.RevokeRequest",
            "mintage.token.v1.UserInfoRequest",
        ])
        .build_transport(false)
        .build_client(true)
        .compile_fds(descriptors)?;
    Ok(())
}
