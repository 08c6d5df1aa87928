//! The process ends at any moment, as by `kill -9` or the kernel's want of memory. `MINTAGE_KILLS` says how often.
//!
//! This does not cut the power: what the operating system has taken over is written in the end.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mintage::random::{self, SystemRandom};

use super::host::{Host, Registered, SECRET, Server, integrity};

/// What the server said it had done.
#[derive(Debug, Default)]
struct Acknowledged {
    revoked: Vec<String>,
    clients: Vec<Registered>,
}

// F-1, CHK-85
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
    let (mut lost, mut slowest) = (0, Duration::ZERO);
    for kill in 0..kills {
        let begun = Instant::now();
        let server = Arc::new(host.start().await);
        slowest = slowest.max(begun.elapsed());
        assert_eq!(server.kids().await, kids);
        assert!(server.is_active(&token).await);

        let recent = Arc::<Mutex<Acknowledged>>::default();
        let writers = [
            tokio::spawn(revoke(Arc::clone(&server), Arc::clone(&recent))),
            tokio::spawn(revoke(Arc::clone(&server), Arc::clone(&recent))),
            tokio::spawn(create(Arc::clone(&server), token.clone(), kill, Arc::clone(&recent))),
        ];
        let moment = u64::from(u16::from_le_bytes(random::bytes::<2>(&SystemRandom).unwrap())) % 150;
        tokio::time::sleep(Duration::from_millis(20 + moment)).await;
        server.signal("KILL");
        for writer in writers {
            writer.await.unwrap();
        }
        drop(server);

        let recent = std::mem::take(&mut *recent.lock().unwrap());
        let server = host.start().await;
        assert_eq!(integrity(&host.path("mintage.db")), "ok");
        lost += lost_writes(&server, &recent).await;
        all.revoked.extend(recent.revoked);
        all.clients.extend(recent.clients);
    }
    // What was there before a crash is there after later ones.
    let server = host.start().await;
    lost += lost_writes(&server, &all).await;
    println!(
        "{kills} kills, {} revocations and {} clients acknowledged, {lost} lost; ready again within {} ms",
        all.revoked.len(),
        all.clients.len(),
        slowest.as_millis()
    );
    assert_eq!(lost, 0);
    assert!(all.revoked.len() > kills as usize && all.clients.len() > kills as usize);
}

async fn revoke(server: Arc<Server>, acknowledged: Arc<Mutex<Acknowledged>>) {
    loop {
        let Some(answer) = server.issue(("operator", SECRET)).await else { return };
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let Some(answer) = server.revoke(&token).await else { return };
        assert_eq!(answer.status, 200, "{}", answer.body);
        acknowledged.lock().unwrap().revoked.push(token);
    }
}

async fn create(server: Arc<Server>, token: String, kill: u32, acknowledged: Arc<Mutex<Acknowledged>>) {
    let mut admin = server.admin(&token).await;
    for n in 0.. {
        let Ok(client) = admin.create(&format!("c{kill}-{n}")).await else { return };
        acknowledged.lock().unwrap().clients.push(client);
    }
}

async fn lost_writes(server: &Server, acknowledged: &Acknowledged) -> usize {
    let mut lost = 0;
    for token in &acknowledged.revoked {
        lost += usize::from(server.is_active(token).await);
    }
    for client in &acknowledged.clients {
        lost +=
            usize::from(server.issue(client.credentials()).await.is_none_or(|answer| answer.status != 200));
    }
    lost
}
