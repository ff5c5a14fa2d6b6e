//! A background worker: it works through jobs and tells clients how they go, without being part of the cluster.
//!
//! ```sh
//! cargo run -p sockeye-emitter --example worker -- redis://127.0.0.1:6379
//! ```
//!
//! Clients that are in the room `job:1` hear `progress` five times and `done` once. Stop Redis meanwhile: the worker goes
//! on, and what it says is heard when Redis is back.

use sockeye_emitter::{Emitter, OnOutage};
use std::{error::Error, time::Duration};
use tokio::{signal::ctrl_c, time::sleep};

/// What clients get. Anything that serde can write will do.
#[derive(serde::Serialize)]
struct Done<'a> {
    job: u32,
    result: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let emitter = Emitter::builder()
        // A broker that is away when a worker starts is mostly a wrong URL: fail now, not at the first emit.
        .wait(Duration::from_secs(5))
        // Later on, keep up to 8 MiB of news for up to a minute.
        .on_outage(OnOutage::Buffer)
        .spool_bytes(8 << 20)
        .spool_age(Duration::from_secs(60))
        .connect(&url)
        .await?;
    println!("emitting to {}; Ctrl-C ends", emitter.describe());

    tokio::select! {
        () = work(&emitter) => {}
        _ = ctrl_c() => {}
    }

    // What was emitted is in this process until the broker has it: take leave properly.
    if let Err(lost) = emitter.close().await {
        eprintln!("at the end: {lost}");
    }
    println!("{} messages were published", emitter.stats().published);
    Ok(())
}

async fn work(emitter: &Emitter) {
    for job in 1.. {
        let watchers = emitter.to(format!("job:{job}"));
        for percent in [0, 25, 50, 75, 100] {
            // Fire and forget: it does not wait for the broker, and a stale percentage is worth nothing later.
            watchers.clone().volatile().emit("progress", (job, percent));
            sleep(Duration::from_millis(200)).await;
        }
        // This one matters: wait until the broker has it, and say what became of it.
        match watchers.emit("done", &Done { job, result: "fine" }).await {
            Ok(delivery) => println!("job {job}: heard by {} nodes", delivery.receivers.unwrap_or(0)),
            Err(error) => eprintln!("job {job}: {error}"),
        }
        watchers.leave(format!("job:{job}"));
    }
}
