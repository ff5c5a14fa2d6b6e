//! A TCP proxy that can cut, stall, half-open, deafen and refuse.

use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to the connections.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub(crate) enum Mode {
    #[default]
    Pass,
    /// Connections are accepted, and nothing moves in either direction.
    Stall,
    /// Connections are accepted and everything reaches the server; nothing comes back.
    HalfOpen,
    /// What subscribed hears nothing any more; everything else works.
    Deaf,
}

#[derive(Copy, Clone, Debug, Default)]
struct State {
    mode: Mode,
    /// Connections of an older age are cut.
    age: u64,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) async fn start(upstream: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], super::free_port()));
        let upstream = SocketAddr::from(([127, 0, 0, 1], upstream));
        let mut proxy = Self { address, upstream, state: Arc::default(), listening: None };
        proxy.accept().await;
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub(crate) fn mode(&self, mode: Mode) {
        self.state.send_modify(|s| s.mode = mode);
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|s| s.age += 1);
    }

    /// Nobody listens any more.
    pub(crate) async fn refuse(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
    }

    /// Ends `refuse`.
    pub(crate) async fn accept(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is ours");
        let (upstream, state) = (self.upstream, Arc::clone(&self.state));
        self.listening = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, upstream, state.subscribe()));
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        self.cut();
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    let age = state.borrow().age;
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("nodelay");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let subscribed = watch::Sender::new(false);
    let there = pass(from_client, to_server, state.clone(), |s, _| s.mode != Mode::Stall, &subscribed);
    let open = |s: State, subscribed: bool| match s.mode {
        Mode::Pass => true,
        Mode::Stall | Mode::HalfOpen => false,
        Mode::Deaf => !subscribed,
    };
    let back = pass(from_server, to_client, state.clone(), open, &subscribed);
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = state.wait_for(|s| s.age != age) => {}
    }
}

/// Moves bytes one way while the way is open.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    open: impl Fn(State, bool) -> bool,
    subscribed: &watch::Sender<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let bytes = &buffer[..read];
        if bytes.windows(9).any(|w| w.eq_ignore_ascii_case(b"SUBSCRIBE")) {
            subscribed.send_replace(true);
        }
        if state.wait_for(|s| open(*s, *subscribed.borrow())).await.is_err()
            || to.write_all(bytes).await.is_err()
        {
            return;
        }
    }
}
