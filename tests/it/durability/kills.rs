//! The process ends at any moment, as by `kill -9` or the kernel's want of memory. `MINTAGE_KILLS` says how often.
//!
//! This does not cut the power: what the operating system has taken over is written in the end.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mintage::{
    clock::{Clock, SystemClock},
    random::{self, SystemRandom},
};
use serde_json::json;
use tonic::Code;

use super::host::{Answer, Host, ISSUER, Registered, SECRET, Server, integrity};
use crate::support::{
    dpop::DpopKey,
    patience::{PATIENCE, patiently},
};

/// What the server said it had done.
#[derive(Debug, Default)]
struct Acknowledged {
    revoked: Vec<String>,
    clients: Vec<Registered>,
    /// DPoP proofs that were accepted.
    proofs: Vec<String>,
}

/// A run of the server that ends by a kill, with those who write to it.
struct Run {
    server: Server,
    token: String,
    number: u32,
    acknowledged: Mutex<Acknowledged>,
    killed: AtomicBool,
}

// F-1, CHK-85, V-16
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_process() {
    let kills: u32 = std::env::var("MINTAGE_KILLS").map_or(50, |text| text.parse().unwrap());
    let host = Host::sqlite();
    let server = host.start().await;
    let kids = server.kids().await;
    // Not revoked by anybody.
    let token = server.operator_token().await;
    drop(server);

    let mut all = Acknowledged::default();
    let (mut lost, mut proofs, mut slowest) = (0, 0, Duration::ZERO);
    for kill in 0..kills {
        let begun = Instant::now();
        let server = host.start().await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(server.kids().await, kids);
        assert!(server.is_active(&token).await);

        let run = Arc::new(Run {
            server,
            token: token.clone(),
            number: kill,
            acknowledged: Mutex::default(),
            killed: AtomicBool::new(false),
        });
        let writers = [
            tokio::spawn(Arc::clone(&run).revoke()),
            tokio::spawn(Arc::clone(&run).revoke()),
            tokio::spawn(Arc::clone(&run).create()),
            tokio::spawn(Arc::clone(&run).prove()),
        ];
        // However slow the disk is, there is something to lose; the moment after that is anybody's guess.
        run.has_begun().await;
        let moment = u64::from(u16::from_le_bytes(random::bytes::<2>(&SystemRandom).unwrap())) % 150;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        run.killed.store(true, Ordering::SeqCst);
        run.server.signal("KILL");
        for writer in writers {
            writer.await.unwrap();
        }
        let run = Arc::into_inner(run).unwrap();
        drop(run.server);

        let recent = run.acknowledged.into_inner().unwrap();
        let server = host.start().await;
        assert_eq!(integrity(&host.path("mintage.db")), "ok");
        lost += lost_writes(&server, &recent).await;
        lost += forgotten_proofs(&server, &recent.proofs).await;
        proofs += recent.proofs.len();
        all.revoked.extend(recent.revoked);
        all.clients.extend(recent.clients);
    }
    // What was there before a crash is there after later ones.
    let server = host.start().await;
    lost += lost_writes(&server, &all).await;
    println!(
        "{kills} kills, {} revocations, {} clients and {proofs} proofs acknowledged, {lost} lost; ready again within {} ms",
        all.revoked.len(),
        all.clients.len(),
        slowest.as_millis()
    );
    assert_eq!(lost, 0);
    let least = all.revoked.len().min(all.clients.len()).min(proofs);
    assert!(least >= kills as usize, "{least}");
}

impl Run {
    async fn has_begun(&self) {
        let begun = Instant::now();
        loop {
            let least = {
                let acknowledged = self.acknowledged();
                acknowledged.revoked.len().min(acknowledged.clients.len()).min(acknowledged.proofs.len())
            };
            if least > 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing is written: {}", self.server.stderr());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.acknowledged.lock().unwrap()
    }

    /// After a request that failed: a server that lives may be too busy to write, and one that is dead stays so.
    async fn goes_on(&self) -> bool {
        tokio::time::sleep(Duration::from_millis(5)).await;
        !self.killed.load(Ordering::SeqCst)
    }

    async fn revoke(self: Arc<Self>) {
        loop {
            let token = match self.server.issue(("operator", SECRET)).await {
                Some(answer) if answer.status == 200 => {
                    answer.json()["access_token"].as_str().unwrap().to_owned()
                }
                _ if self.goes_on().await => continue,
                _ => return,
            };
            match self.server.revoke(&token).await {
                Some(answer) if answer.status == 200 => self.acknowledged().revoked.push(token),
                Some(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
                None if self.goes_on().await => {}
                None => return,
            }
        }
    }

    async fn prove(self: Arc<Self>) {
        let key = DpopKey::generate();
        loop {
            let now = SystemClock.now().seconds();
            let proof = key.proof(&json!({ "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": now }));
            match self.server.issue_with_proof(&proof).await {
                Some(answer) if answer.status == 200 => self.acknowledged().proofs.push(proof),
                Some(answer) => assert_eq!(answer.status, 503, "{}", answer.body),
                None if self.goes_on().await => {}
                None => return,
            }
        }
    }

    async fn create(self: Arc<Self>) {
        let mut admin = self.server.admin(&self.token).await;
        for n in 0.. {
            match admin.create(&format!("c{}-{n}", self.number)).await {
                Ok(client) => self.acknowledged().clients.push(client),
                Err(status) if self.goes_on().await => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                }
                Err(_) => return,
            }
        }
    }
}

/// How many proofs that were accepted are accepted again (V-16).
async fn forgotten_proofs(server: &Server, proofs: &[String]) -> usize {
    let mut forgotten = 0;
    for proof in proofs {
        let answer = patiently!(server.issue_with_proof(proof).await, Answer::is_put_off).expect("an answer");
        assert!(answer.status == 200 || answer.json()["error"] == "invalid_dpop_proof", "{answer:?}");
        forgotten += usize::from(answer.status == 200);
    }
    forgotten
}

async fn lost_writes(server: &Server, acknowledged: &Acknowledged) -> usize {
    let mut lost = 0;
    for token in &acknowledged.revoked {
        lost += usize::from(server.is_active(token).await);
    }
    for client in &acknowledged.clients {
        let answer = patiently!(server.issue(client.credentials()).await, Answer::is_put_off);
        lost += usize::from(answer.is_none_or(|answer| answer.status != 200));
    }
    lost
}
