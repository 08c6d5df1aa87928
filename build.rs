//! Compiles `proto/` with protox (pure Rust, no protoc) and emits the descriptor sets that reflection serves: one for the
//! public port and one for the ops listener.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The files of the public port.
const TOKEN: [&str; 2] = ["mintage/token/v1/token_service.proto", "mintage/token/v1/key_service.proto"];

/// The files of the ops listener.
const ADMIN: [&str; 2] =
    ["mintage/admin/v1/client_service.proto", "mintage/admin/v1/signing_key_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    emit(&TOKEN, &out.join("descriptors.bin"))?;
    emit(&ADMIN, &out.join("admin_descriptors.bin"))?;

    tonic_prost_build::configure()
        // Secrets and tokens must not be printable: these messages get their own redacting Debug in src/grpc.
        .skip_debug([
            "mintage.token.v1.ClientSecret",
            "mintage.token.v1.ClientAssertion",
            "mintage.token.v1.JwtBearerGrant",
            "mintage.token.v1.IssueRequest",
            "mintage.token.v1.IssueResponse",
            "mintage.token.v1.IntrospectRequest",
            "mintage.token.v1.RevokeRequest",
            "mintage.token.v1.UserInfoRequest",
            "mintage.admin.v1.CreateClientRequest",
            "mintage.admin.v1.CreateClientResponse",
            "mintage.admin.v1.AddClientSecretRequest",
            "mintage.admin.v1.AddClientSecretResponse",
        ])
        .build_transport(false)
        .codec_path("crate::grpc::codec::Codec")
        .build_client(true)
        .compile_fds(compile(&[&TOKEN[..], &ADMIN[..]].concat())?)?;
    Ok(())
}

fn compile(files: &[&str]) -> Result<protox::prost_reflect::prost_types::FileDescriptorSet, Box<dyn Error>> {
    Ok(protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(files)?
        .file_descriptor_set())
}

/// Writes what reflection tells of some files.
fn emit(files: &[&str], to: &Path) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(to, prost::Message::encode_to_vec(&compile(files)?))?)
}
