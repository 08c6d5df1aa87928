//! What the cryptography alone costs: signatures by aws-lc with keys that were parsed before. Nothing else may run in the process
//! meanwhile: its CPU time is what is measured.

use std::{hint::black_box, time::Duration};

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    },
};

use super::{Result, server::own_cpu};

/// CPU microseconds of each operation.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    pub rs256_signature: f64,
    pub rs256_verification: f64,
    pub es256_signature: f64,
    pub es256_verification: f64,
}

impl Bare {
    /// Measures them over a message, each for so long.
    #[expect(clippy::disallowed_methods, reason = "the random numbers of a bench may be any")]
    pub async fn measure(message: &[u8], duration: Duration) -> Result<Self> {
        let failed = |_: Unspecified| "the cryptography failed";
        let random = SystemRandom::new();
        let rsa = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
        let rsa_public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref())?;
        let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let ecdsa_signature = ecdsa.sign(&random, message).map_err(failed)?;
        let ecdsa_public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, ecdsa.public_key().as_ref())?;
        let mut made = signature.clone();
        Ok(Self {
            rs256_signature: each(duration, async || {
                rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut made)
            })
            .await?,
            rs256_verification: each(duration, async || rsa_public.verify_sig(message, &signature)).await?,
            es256_signature: each(duration, async || ecdsa.sign(&random, message)).await?,
            es256_verification: each(duration, async || {
                ecdsa_public.verify_sig(message, ecdsa_signature.as_ref())
            })
            .await?,
        })
    }
}

/// CPU microseconds of an operation: the mean, as that of a server is, so that what slows the machine down counts for both.
pub async fn each<T, E: std::fmt::Debug>(
    duration: Duration,
    mut operation: impl AsyncFnMut() -> std::result::Result<T, E>,
) -> Result<f64> {
    const BATCH: u32 = 32;
    let mut batch = async || -> Result<()> {
        for _ in 0..BATCH {
            if let Err(error) = black_box(operation().await) {
                return Err(format!("{error:?}").into());
            }
        }
        Ok(())
    };
    // The first one warms up.
    batch().await?;
    let (begun, mut count) = (own_cpu()?, 0);
    loop {
        batch().await?;
        count += BATCH;
        let spent = own_cpu()? - begun;
        if spent >= duration {
            return Ok(spent.as_secs_f64() * 1e6 / f64::from(count));
        }
    }
}
