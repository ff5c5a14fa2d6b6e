//! Puts the program together and runs it until a signal ends it.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use axum::Router;
use sockeye::{BuildError, Server, ServerBuilder, StaticFiles};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{config::Config, demo, rooms};

/// How many connections may wait to be accepted: when a node ends, all its clients come at once.
const BACKLOG: u32 = 4096;

/// Why the node does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Settings(#[from] BuildError),
    #[error("cannot listen on {address}: {source}{}", advice(.source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has it, perhaps another node: choose another with --listen or --admin-listen"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for privileged programs",
        io::ErrorKind::AddrNotAvailable => {
            "; this machine does not have the address: 0.0.0.0 means all that it has"
        }
        _ => "",
    }
}

/// Runs a node until SIGTERM or SIGINT has ended it.
///
/// # Errors
/// The node could not start.
pub(crate) fn run(config: &Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(config));
    // A task that still blocks, such as the lookup of a name, must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn serve(config: &Config) -> Result<(), RunError> {
    let signals = signals()?;
    let listener = bind(config.listen)?;
    let listen = listener.local_addr()?;
    let admin_listener = config.admin_listen.map(bind).transpose()?;
    let admin_listen = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let server = builder(config).build().await?;

    let admin = server.admin_routes(config.require_bus);
    let mut app = if config.demo { demo::router(config) } else { Router::new() };
    let admin_task = match admin_listener {
        Some(listener) => Some(tokio::spawn(async move { axum::serve(listener, admin).await })),
        None => {
            app = app.merge(admin);
            None
        }
    };
    if !config.static_files.is_empty() {
        let files = StaticFiles::new();
        let files = config.static_files.iter().fold(files, |files, (url, path)| files.map(url, path));
        // What the node itself serves comes first.
        app = app.fallback_service(files.before(Router::new()));
    }
    announce(config, &server, listen, admin_listen);

    let ending = async {
        received(&signals, 1).await;
        server.drain();
        tracing::info!(connections = server.io().connections(), "ending; a second signal ends it at once");
    };
    tokio::select! {
        () = server.serve_with(listener, app, ending) => tracing::info!("ended"),
        () = received(&signals, 2) => tracing::warn!("ended at once"),
    }
    if let Some(task) = admin_task {
        task.abort();
    }
    Ok(())
}

fn builder(config: &Config) -> ServerBuilder {
    let mut builder = Server::builder()
        .bus(&config.bus.url)
        .channel(&config.bus.channel)
        .bridge_python(config.bridge_python)
        .path(&config.path)
        .ping_interval(config.ping_interval)
        .ping_timeout(config.ping_timeout)
        .connect_timeout(config.connect_timeout)
        .upgrade_timeout(config.upgrade_timeout)
        .allow_upgrades(config.upgrades)
        .allow_eio3(config.eio3)
        .transports(config.transports.clone())
        .parser(config.parser.clone())
        .limits(config.limits.clone())
        .limits_mode(config.limits_mode)
        .outbox_limits(config.outbox)
        .cors(config.cors.clone())
        .shutdown_timeout(config.shutdown_timeout);
    for secret in &config.secrets.0 {
        builder = builder.secret(secret);
    }
    if let Some(name) = &config.node_name {
        builder = builder.node_name(name);
    }
    builder = config.http.apply(builder);
    if config.demo {
        builder.namespace("/", demo::register)
    } else if config.allow_join {
        builder.namespace("/", rooms::register)
    } else {
        builder
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A node that is started again takes the port of its predecessor, whose last connections the kernel still keeps.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| RunError::Listen { address, source })
}

/// Says where the node is: on standard output for programs, in the log for people.
fn announce(config: &Config, server: &Server, listen: SocketAddr, admin_listen: Option<SocketAddr>) {
    let mut lines = format!("listening on {listen}\n");
    if let Some(admin) = admin_listen {
        lines.push_str(&format!("admin on {admin}\n"));
    }
    // Whoever started the node may have closed its end: that is no reason not to serve.
    let mut out = io::stdout().lock();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    let io = server.io();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = %io.node_id(),
        name = io.node_name(),
        %listen,
        admin = %admin_listen.unwrap_or(listen),
        bus = config.bus.shown,
        channel = config.bus.channel,
        path = config.path,
        demo = config.demo,
        "serving clients"
    );
    if !config.demo {
        return;
    }
    if listen.ip().to_canonical().is_loopback() {
        tracing::info!("the demo is at http://{listen}/");
    } else {
        tracing::warn!("the demo is on: everyone who can reach {listen} may join rooms and send");
    }
}

/// Counts the signals that ask the program to end.
fn signals() -> io::Result<watch::Receiver<u32>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(counted)
}

/// Waits for that many signals.
async fn received(signals: &watch::Receiver<u32>, wanted: u32) {
    // The counting task never ends, so this waits for nothing but signals.
    let _ = signals.clone().wait_for(|count| *count >= wanted).await;
}
