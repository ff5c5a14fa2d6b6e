//! What one client that stops reading costs the others.
//!
//! `cargo run --release -p sockeye --example slow_reader` broadcasts 50 MB to twenty clients, several times: with all of
//! them reading, and with another one that takes nothing. It prints how long a broadcast took to reach the readers, and what
//! became of the slow one: how much was queued for it at the most, and after how many MB it was disconnected.

#[allow(dead_code, reason = "another program here uses the rest of it")]
mod client;

use std::time::{Duration, Instant};

use client::{Client, Error};
use sockeye::{OutboxLimits, Server};
use tokio::net::TcpListener;

const READERS: usize = 20;
const EVENT: usize = 16 * 1024;
const EVENTS: usize = 50_000_000 / EVENT;
/// Between two events: the broadcast takes about ten seconds.
const PAUSE: Duration = Duration::from_micros(3_200);
const ROUNDS: usize = 3;

fn main() -> Result<(), Error> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    // The server has a thread of its own, as if it were alone.
    let (serving, clients) = (runtime()?, runtime()?);
    let (server, address) = serving.block_on(async {
        let server = Server::builder().bus("memory://slow-reader").build().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = server.clone();
        tokio::spawn(async move { accepting.serve(listener, std::future::pending()).await });
        Ok::<_, Error>((server, address))
    })?;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    println!(
        "{EVENTS} events of {EVENT} bytes to {READERS} readers; a client may have {} bytes unread",
        OutboxLimits::default().hard_bytes
    );
    println!(
        "{:>6} {:>10} {:>10} {:>10} {:>16} {:>16}",
        "slow", "p50 ms", "p99 ms", "max ms", "most queued", "closed after MB"
    );
    for round in 0..2 * ROUNDS {
        let slow = round % 2 == 1;
        let row = clients.block_on(broadcast(&server, &url, slow))?;
        println!("{row}");
    }
    let slow = metric(&server, r#"sockeye_disconnections_total{reason="slow"}"#);
    println!("disconnected as slow: {slow} of {ROUNDS}");
    Ok(())
}

fn metric(server: &Server, series: &str) -> f64 {
    let text = server.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

async fn broadcast(server: &Server, url: &str, slow: bool) -> Result<String, Error> {
    let begun = Instant::now();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut client = Client::open(url).await?;
        client.join().await?;
        readers.push(tokio::spawn(read(client, begun)));
    }
    let mut stuck = None;
    if slow {
        let mut client = Client::open(url).await?;
        let id = client.join().await?;
        stuck = Some((client, id));
    }
    let (mut most, mut closed_after) = (0_f64, None);
    let text = "x".repeat(EVENT);
    let mut ticks = tokio::time::interval(PAUSE);
    for n in 0..EVENTS {
        ticks.tick().await;
        server.io().emit("news", (begun.elapsed().as_micros() as u64, &text));
        // Asked for in every round, because asking costs the server something.
        if n % 8 == 0 {
            most = most.max(metric(server, "sockeye_send_queue_bytes"));
        }
        if let Some((_, id)) = &stuck
            && closed_after.is_none()
            && server.io().socket(id).is_none()
        {
            closed_after = Some((n * EVENT) as f64 / 1e6);
        }
    }
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await??);
    }
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1e3;
    let closed = closed_after.map_or_else(|| "-".to_owned(), |mb| format!("{mb:.1}"));
    Ok(format!(
        "{:>6} {:>10.2} {:>10.2} {:>10.2} {:>16} {closed:>16}",
        if slow { "one" } else { "none" },
        at(0.5),
        at(0.99),
        at(1.0),
        format!("{most:.0}"),
    ))
}

/// Reads everything; returns how long each event took, in microseconds.
async fn read(mut client: Client, begun: Instant) -> Result<Vec<u64>, Error> {
    let mut latencies = Vec::with_capacity(EVENTS);
    while latencies.len() < EVENTS {
        let packet = client.next().await?;
        let sent = packet.strip_prefix(r#"42["news","#).and_then(|rest| rest.split(',').next());
        let sent: u64 = sent.ok_or("not an event")?.parse()?;
        latencies.push((begun.elapsed().as_micros() as u64).saturating_sub(sent));
    }
    Ok(latencies)
}
