//! How fast an emitter is, and what it costs: events a second and CPU time an event.
//!
//! ```sh
//! cargo run --release -p sockeye-emitter --example throughput -- redis://127.0.0.1:6379 [REDIS_PID] [EVENTS]
//! ```
//!
//! With the process id of Redis (on this machine), its CPU time is shown as well. Linux only: CPU times are read from
//! `/proc`.

use sockeye_emitter::{Emitter, Receipt};
use std::{collections::VecDeque, error::Error, fs, time::Duration, time::Instant};

/// Events under way at once, where they are pipelined.
const WINDOW: usize = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let redis: Option<u32> = arguments.next().map(|pid| pid.parse()).transpose()?;
    let events: usize = arguments.next().map_or(Ok(500_000), |events| events.parse())?;
    let own = std::process::id();
    let emitter = Emitter::builder().wait(Duration::from_secs(5)).connect(url).await?;

    println!("{:<46} {:>10} {:>12} {:>12}", "", "events/s", "own µs CPU", "Redis µs CPU");
    for (name, bytes, window) in [
        ("128 bytes to a room, pipelined", 128, WINDOW),
        ("1 KiB to a room, pipelined", 1024, WINDOW),
        ("128 bytes to a room, 16 under way", 128, 16),
        ("128 bytes to a room, each awaited", 128, 1),
    ] {
        let events = if window == 1 { events / 20 } else { events };
        let text = "x".repeat(bytes);
        let room = emitter.to("room");
        let (start, mine, its) = (Instant::now(), cpu(own), redis.map(cpu));
        let mut pending: VecDeque<Receipt> = VecDeque::with_capacity(window);
        for number in 0..events {
            if pending.len() == window
                && let Some(first) = pending.pop_front()
            {
                first.await?;
            }
            pending.push_back(room.emit("tick", (number, &text)));
        }
        for receipt in pending {
            receipt.await?;
        }
        let count = events as f64;
        let per_event = |pid: u32, before: Duration| (cpu(pid) - before).as_secs_f64() * 1e6 / count;
        let rate = count / start.elapsed().as_secs_f64();
        let its =
            redis.zip(its).map_or("–".to_owned(), |(pid, before)| format!("{:.2}", per_event(pid, before)));
        println!("{name:<46} {rate:>10.0} {:>12.2} {its:>12}", per_event(own, mine));
    }
    emitter.close().await?;
    Ok(())
}

/// CPU time of all threads of a process.
fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}
