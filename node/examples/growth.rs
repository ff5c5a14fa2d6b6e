//! How time and memory grow with namespaces, rooms, rooms of one socket, and handlers that wait; and what is left when they
//! have gone.
//!
//! `cargo run --release -p sockeye --example growth` runs every row in a process of its own, so that no row has the memory
//! of another. `growth ROW N` runs one of them.
//!
//! `left` is what the process keeps when everything is gone; `again` what it needs more after the same a second time. The
//! allocator returns memory to the system as it sees fit, so that `left` is rarely nothing; a leak would show as `again`.

mod client;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{Client, Error};
use sockeye::{Limits, Server, ServerBuilder, Socket, State};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
};

const ROWS: [(&str, &str, [usize; 3]); 5] = [
    ("static-namespaces", "namespaces that were registered, with a handler each", [1_000, 10_000, 100_000]),
    (
        "dynamic-namespaces",
        "namespaces of a pattern, each with one client in it, 50 for each client",
        [1_000, 10_000, 50_000],
    ),
    ("rooms", "rooms with one member each, of ten sockets", [1_000, 10_000, 100_000]),
    ("rooms-of-one", "rooms of one socket, entered and left one by one", [1_000, 10_000, 100_000]),
    ("waiting-handlers", "handlers of a hundred sockets that wait", [1_000, 10_000, 50_000]),
];

/// Namespaces that one client joins; by default it could be in no more than 64.
const PER_CLIENT: usize = 50;

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [row, n] => run(row, n.parse()?),
        [] => {
            for (row, what, sizes) in ROWS {
                println!("\n{row}: {what}");
                println!(
                    "{:>9} {:>12} {:>12} {:>12} {:>10} {:>10}",
                    "N", "µs each", "bytes each", "µs to go", "left MiB", "again MiB"
                );
                for n in sizes {
                    let status =
                        Command::new(std::env::current_exe()?).args([row, &n.to_string()]).status()?;
                    if !status.success() {
                        return Err(format!("{row} {n} failed").into());
                    }
                }
            }
            Ok(())
        }
        _ => Err("growth [ROW N]".into()),
    }
}

#[tokio::main]
async fn run(row: &str, n: usize) -> Result<(), Error> {
    let mut rounds = Vec::new();
    let before;
    match row {
        "static-namespaces" => {
            static_namespaces(100).await?;
            before = resident()?;
            for _ in 0..2 {
                rounds.push(static_namespaces(n).await?);
            }
        }
        _ => {
            let scene = Scene::start(row, n).await?;
            // What is only made once, and what the tools of this program need.
            scene.round(row, 100).await?;
            before = resident()?;
            for _ in 0..2 {
                rounds.push(scene.round(row, n).await?);
            }
            scene.end().await;
        }
    }
    let [first, second] = rounds.as_slice() else { return Err("two rounds".into()) };
    let each = |time: Duration| time.as_secs_f64() * 1e6 / n as f64;
    let mib = |bytes: u64, less: u64| (bytes as f64 - less as f64) / 1_048_576.0;
    println!(
        "{n:>9} {:>12.2} {:>12.0} {:>12.2} {:>10.1} {:>10.1}",
        each(second.came),
        first.full.saturating_sub(before) as f64 / n as f64,
        each(second.went),
        mib(first.left, before),
        mib(second.left, first.left),
    );
    Ok(())
}

/// One time up and down.
struct Round {
    came: Duration,
    went: Duration,
    /// Resident bytes while everything is there, and when it is gone.
    full: u64,
    left: u64,
}

/// Resident bytes of this process.
fn resident() -> Result<u64, Error> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split(' ').nth(1).ok_or("no such field")?.parse::<u64>()? * 4096)
}

async fn static_namespaces(n: usize) -> Result<Round, Error> {
    let begun = Instant::now();
    let mut builder = Server::builder().bus("memory://growth");
    for at in 0..n {
        builder = builder.namespace(&format!("/n{at}"), |ns| ns.on("hello", async || "world"));
    }
    let server = builder.build().await?;
    for at in 0..n {
        server.io().of(&format!("/n{at}")).ok_or("it was registered")?.emit("nobody", ());
    }
    let (came, full) = (begun.elapsed(), resident()?);
    let begun = Instant::now();
    server.shutdown().await;
    drop(server);
    let went = begun.elapsed();
    // The timer holds the server for the moment that its tick takes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(Round { came, went, full, left: resident()? })
}

/// What the handlers of the waiting row share.
#[derive(Clone)]
struct Waiting {
    inside: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

struct Scene {
    server: Server,
    url: String,
    waiting: Waiting,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn start(row: &str, n: usize) -> Result<Self, Error> {
        let waiting = Waiting { inside: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
        let most = n + 1_000;
        let limits = Limits { max_namespaces: PER_CLIENT, max_rooms: most, ..Limits::default() };
        let builder = Server::builder().bus("memory://growth").limits(limits).state(waiting.clone());
        let server = Self::handlers(builder, row, n).build().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.serve(listener, async { drop(stopped.await) }).await }
        });
        Ok(Self { server, url, waiting, stop, serving })
    }

    fn handlers(builder: ServerBuilder, row: &str, n: usize) -> ServerBuilder {
        match row {
            "dynamic-namespaces" => builder.namespace_pattern("/dyn-{id}", |ns| ns),
            "waiting-handlers" => builder.concurrency(n).mailbox(n).namespace("/", |ns| {
                ns.on("wait", async |State(waiting): State<Waiting>| {
                    waiting.inside.fetch_add(1, Ordering::AcqRel);
                    let permit = waiting.gate.acquire().await;
                    permit.map(|permit| permit.forget()).map_err(|error| error.to_string())
                })
            }),
            _ => builder,
        }
    }

    async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }

    async fn round(&self, row: &str, n: usize) -> Result<Round, Error> {
        match row {
            "dynamic-namespaces" => self.dynamic_namespaces(n).await,
            "rooms" => self.rooms(n, 10).await,
            "rooms-of-one" => self.rooms(n, 1).await,
            "waiting-handlers" => self.waiting_handlers(n).await,
            _ => Err(format!("{row} is no row").into()),
        }
    }

    /// Waits until a metric has a value.
    async fn settled(&self, series: &str, value: usize) {
        while !self.server.metrics().lines().any(|line| line == format!("{series} {value}")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn dynamic_namespaces(&self, n: usize) -> Result<Round, Error> {
        let begun = Instant::now();
        let mut clients = Vec::new();
        for first in (0..n).step_by(PER_CLIENT) {
            let mut client = Client::open(&self.url).await?;
            client.all(PER_CLIENT.min(n - first), |at| format!("40/dyn-{},", first + at)).await?;
            clients.push(client);
        }
        let (came, full) = (begun.elapsed(), resident()?);
        let begun = Instant::now();
        drop(clients);
        // `/` is always there.
        self.settled("sockeye_namespaces", 1).await;
        let went = begun.elapsed();
        Ok(Round { came, went, full, left: resident()? })
    }

    async fn rooms(&self, n: usize, sockets: usize) -> Result<Round, Error> {
        let mut clients = Vec::new();
        let mut members: Vec<Socket> = Vec::new();
        for _ in 0..sockets {
            let mut client = Client::open(&self.url).await?;
            let id = client.join().await?;
            members.push(self.server.io().socket(&id).ok_or("it is connected")?);
            clients.push(client);
        }
        let begun = Instant::now();
        for at in 0..n {
            members[at % sockets].join(format!("room-{at}"));
        }
        let (came, full) = (begun.elapsed(), resident()?);
        let begun = Instant::now();
        for at in 0..n {
            members[at % sockets].leave(format!("room-{at}"));
        }
        let went = begun.elapsed();
        drop((clients, members));
        self.settled("sockeye_tasks", 0).await;
        Ok(Round { came, went, full, left: resident()? })
    }

    async fn waiting_handlers(&self, n: usize) -> Result<Round, Error> {
        let mut clients = Vec::new();
        for _ in 0..100 {
            let mut client = Client::open(&self.url).await?;
            client.join().await?;
            clients.push(client);
        }
        let begun = Instant::now();
        for at in 0..n {
            clients[at % 100].send(format!(r#"42{at}["wait"]"#)).await?;
        }
        while self.waiting.inside.load(Ordering::Acquire) < n {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (came, full) = (begun.elapsed(), resident()?);
        let begun = Instant::now();
        self.waiting.gate.add_permits(n);
        for at in 0..n {
            clients[at % 100].next().await?;
        }
        let went = begun.elapsed();
        self.waiting.inside.store(0, Ordering::Release);
        drop(clients);
        self.settled("sockeye_tasks", 0).await;
        Ok(Round { came, went, full, left: resident()? })
    }
}
