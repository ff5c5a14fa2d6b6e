//! Servers on free ports of this machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sockeye::{Server, ServerBuilder};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{PATIENCE, patient, until};

/// A server with its own accept loop. Each has a bus of its own unless it is told otherwise.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// A name that no other test of this process has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A listener on a port below those that the system hands out to clients.
pub(crate) async fn listen() -> TcpListener {
    for _ in 0..1000 {
        let port = 10_000 + (rand::random::<u16>() % 22_000);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("no free port");
}

impl TestServer {
    pub(crate) async fn start(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let bus = format!("memory://{}", unique("story"));
        let builder = build(Server::builder().bus(bus).shutdown_timeout(PATIENCE));
        let server = builder.build().await.unwrap_or_else(|error| panic!("{error}"));
        Self::run(server).await
    }

    pub(crate) async fn run(server: Server) -> Self {
        let listener = listen().await;
        let addr = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn({
            let server = server.clone();
            async move {
                let stopped = async { drop(stopped.await) };
                server.serve(listener, stopped).await;
            }
        });
        Self { server, addr, stop: Some(stop), serving }
    }

    /// Asks the server to end; [`stop`](Self::stop) then waits for it.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Ends the server and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        patient("the end of the server", &mut self.serving).await.expect("serving does not panic");
    }

    /// The value of a metric, its labels as Prometheus prints them: `sockeye_rooms{nsp="/"}`. 0 if it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.server.metrics();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_is(&self, series: &str, value: f64) {
        let waiting = async {
            while self.metric(series) != value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let text = self.server.metrics();
            let all: Vec<&str> =
                text.lines().filter(|line| line.starts_with("sockeye_") && !line.ends_with(" 0")).collect();
            panic!("waited in vain for {series} to be {value}:\n{}", all.join("\n"));
        }
    }
}

/// Servers that share a bus, once all of them know all others.
pub(crate) async fn cluster(
    nodes: usize,
    mut build: impl FnMut(ServerBuilder) -> ServerBuilder,
) -> Vec<TestServer> {
    let bus = format!("memory://{}", unique("cluster"));
    let mut servers = Vec::with_capacity(nodes);
    for node in 0..nodes {
        let bus = bus.clone();
        servers
            .push(TestServer::start(|builder| build(builder.bus(bus).node_name(format!("n{node}")))).await);
    }
    until("the nodes to find each other", || {
        servers.iter().all(|node| node.server.io().nodes().len() == nodes - 1)
    })
    .await;
    servers
}
