//! Every name of the tables in `docs/api-*.md`, so that the compiler says when one of them is renamed. Nothing here is called.

#![allow(dead_code, reason = "for the compiler alone")]

use std::{sync::Arc, time::Duration};

use sockeye::{
    Acks, Args, Auth, Binary, Broadcast, BuildError, CallError, Class, ConnectRefused, Cookie, Cors, Data,
    DisconnectReason, EmitError, EventName, EventRefused, FetchSockets, Forbidden, Handshake, HandshakeRef,
    Io, NamespaceBuilder, NamespaceClass, NamespaceRequest, Params, RemoteSocket, SameSite, Sent, Server,
    ServerBuilder, Socket, Spread, StaticFiles, TransportKind, TrustedProxies, Value,
    engineio::{Client, Endpoint},
    parser::{Parser, Parsers},
};
use sockeye_bus::BusConfig;

async fn on() {}

fn builder(builder: ServerBuilder, chat: Chat) -> ServerBuilder {
    let second = Duration::from_secs(1);
    let builder = ServerBuilder::bus(builder, "memory://");
    let builder = ServerBuilder::bus_config(builder, BusConfig::default());
    let builder = ServerBuilder::channel(builder, "socketio");
    let builder = ServerBuilder::bridge_python(builder, true);
    let builder = ServerBuilder::secret(builder, "");
    let builder = ServerBuilder::parser(builder, Parsers::Json);
    let builder = ServerBuilder::parser(builder, Parsers::MsgPack);
    let builder = ServerBuilder::concurrency(builder, 1);
    let builder = ServerBuilder::accept_any_namespace(builder, true);
    let builder = ServerBuilder::on_any_namespace(builder, |ns| ns);
    let builder = ServerBuilder::namespace(builder, "/", |ns| namespace(ns, chat));
    let builder = ServerBuilder::namespace_pattern(builder, "/{id}", |ns| ns);
    let exists = async |request: NamespaceRequest| NamespaceRequest::path(&request).len() > 3;
    let builder = ServerBuilder::namespace_when(builder, "x", exists, |ns| ns);
    let builder = ServerBuilder::path(builder, "/socket.io/");
    let builder = ServerBuilder::ping_interval(builder, second);
    let builder = ServerBuilder::ping_timeout(builder, second);
    let builder = ServerBuilder::connect_timeout(builder, second);
    let builder = ServerBuilder::upgrade_timeout(builder, second);
    let builder = ServerBuilder::max_payload(builder, 1);
    let builder = ServerBuilder::allow_upgrades(builder, true);
    let builder = ServerBuilder::allow_eio3(builder, true);
    let builder = ServerBuilder::transports(builder, [TransportKind::Polling]);
    let cookie = Cookie::secure(Cookie::http_only(Cookie::path(Cookie::new("io"), "/"), true), true);
    let cookie = Cookie::max_age(Cookie::same_site(cookie, SameSite::Lax), second);
    let builder = ServerBuilder::cookie(builder, cookie);
    let builder = ServerBuilder::cors(builder, Cors::credentials(Cors::origins(["http://a"]), true));
    let builder = ServerBuilder::cors(builder, Cors::allow_headers(Cors::any(), ["x"]));
    let builder = ServerBuilder::cors(builder, Cors::expose_headers(Cors::off(), ["x"]));
    let builder = ServerBuilder::cors(builder, Cors::max_age(Cors::same_origin(), second));
    let builder = ServerBuilder::cors(builder, Cors::predicate(|_, _| true));
    let builder =
        ServerBuilder::allow_request(builder, async |_: HandshakeRef| Err::<(), _>(Forbidden::new("")));
    let builder = ServerBuilder::initial_headers(builder, |_, _| ());
    let builder = ServerBuilder::response_headers(builder, |_, _| ());
    let builder = ServerBuilder::response_header(builder, "a", "b");
    let builder = ServerBuilder::compression_threshold(builder, 1024);
    let builder = ServerBuilder::trusted_proxies(builder, TrustedProxies::none());
    ServerBuilder::engine_io(builder, "/engine.io/", |endpoint| {
        let endpoint = Endpoint::on_open(endpoint, async |_| ());
        let endpoint = Endpoint::on_close(endpoint, async |_, _| ());
        Endpoint::on_message(endpoint, async |client, message| {
            Client::send(&client, message);
            Client::close(&client);
        })
    })
}

fn namespace(ns: NamespaceBuilder, chat: Chat) -> NamespaceBuilder {
    let ns = NamespaceBuilder::on(ns, "a", on);
    let ns = NamespaceBuilder::on_blocking(ns, "a", || ());
    let ns = NamespaceBuilder::fallback(ns, async |EventName(_): EventName| ());
    let ns = NamespaceBuilder::on_connect(ns, async |Auth(_): Auth<Value>| ());
    let ns = NamespaceBuilder::on_connected(ns, on);
    let ns = NamespaceBuilder::on_disconnect(ns, on);
    let ns = NamespaceBuilder::on_server_event(ns, "a", async |_, _| ());
    let ns = NamespaceBuilder::use_connect(ns, on);
    let ns = NamespaceBuilder::use_event(ns, async |Spread(_): Spread<Vec<Value>>| {
        Err::<(), _>(EventRefused::new(""))
    });
    let ns = NamespaceBuilder::on_any(ns, |_, _, _| ());
    let ns = NamespaceBuilder::on_any_outgoing(ns, |_| ());
    let ns = NamespaceBuilder::on_error(ns, |_, _| ());
    let ns = NamespaceBuilder::concurrency(ns, 1);
    NamespaceBuilder::class(ns, chat)
}

struct Chat;

impl Chat {
    async fn method(self: Arc<Self>) {}
}

impl NamespaceClass for Chat {
    /// `NamespaceClass::handlers`.
    fn handlers(class: Class<Self>) -> Class<Self> {
        let class = Class::on_connect(class, Self::method);
        let class = Class::on_disconnect(class, Self::method);
        Class::on(class, "a", Self::method)
    }
}

async fn class(chat: Arc<Chat>, io: Io, call: sockeye::Call) {
    NamespaceClass::start(chat.clone(), io);
    NamespaceClass::dispatch(chat, call).await;
}

fn connect() -> ConnectRefused {
    let _ = ConnectRefused::default();
    ConnectRefused::data(ConnectRefused::new(""), &())
}

async fn server(server: Server, listeners: [tokio::net::TcpListener; 2]) {
    let [listener, other] = listeners;
    Server::serve(&server, other, async {}).await;
    Server::service(&server);
    let files = StaticFiles::map_as(StaticFiles::map(StaticFiles::new(), "/", "a"), "/b", "b", "text/plain");
    let _ = StaticFiles::before(StaticFiles::index(files, "index.html"), axum::Router::new());
    Server::io(&server);
    Server::serve_with(&server, listener, None, async {}).await;
    Server::shutdown(&server).await;
}

async fn io(io: &Io, params: Params) -> Result<(), EmitError> {
    Io::emit(io, "a", ());
    Io::to(io, "a").emit("a", ());
    Io::except(io, "a").emit("a", ());
    Io::local(io).emit("a", ());
    Io::of(io, "/");
    Io::of_any(io, "/");
    Io::param(io, "id");
    Io::namespace(io);
    Io::close_room(io, "a").await;
    Io::server_emit(io, "a", ()).await?;
    Io::server_call(io, "a", (), Duration::ZERO).await?;
    Io::connections(io);
    Io::nodes(io);
    Io::sockets(io);
    Io::participants(io, "a");
    Io::find_socket(io, "a").await;
    Io::rooms_of(io, "a").await;
    Io::is_connected(io, "a").await;
    Io::namespaces(io).await;
    Io::rooms(io, None, 1).await;
    Io::spawn(io, async {});
    Params::get(&params, "a");
    Ok(())
}

async fn broadcast(io: &Io) -> Result<(), CallError> {
    let all = || io.all();
    let some = Broadcast::compress(all(), false);
    some.emit("a", ());
    let some = Broadcast::volatile(Broadcast::local(Broadcast::except(Broadcast::to(all(), "a"), "b")));
    Sent::reached(&Broadcast::emit(Broadcast::timeout(some, Duration::ZERO), "a", ()));
    Broadcast::send(all(), ()).await?;
    let mut acks = Broadcast::emit_with_ack(all(), "a", ())?;
    Acks::next(&mut acks).await;
    Acks::expected(&mut acks).await;
    Acks::asked(&acks);
    Acks::gather(acks).await;
    Broadcast::call(all(), "a", ()).await?;
    Broadcast::join(all(), "a").await;
    Broadcast::leave(all(), "a").await;
    Broadcast::disconnect(all(), true).await;
    Broadcast::sockets(all()).await;
    Broadcast::count(all()).await;
    let fetch = FetchSockets::connection(FetchSockets::url(Broadcast::fetch_sockets(all())));
    for socket in FetchSockets::data(FetchSockets::header(fetch, "a")).await.value {
        remote(&socket).await?;
    }
    Ok(())
}

async fn remote(socket: &RemoteSocket) -> Result<(), CallError> {
    RemoteSocket::id(socket);
    RemoteSocket::address(socket);
    RemoteSocket::time(socket);
    RemoteSocket::is_secure(socket);
    RemoteSocket::url(socket);
    RemoteSocket::header(socket, "a");
    RemoteSocket::rooms(socket);
    let _ = RemoteSocket::data::<Value>(socket);
    RemoteSocket::emit(socket, "a", ()).await?;
    RemoteSocket::call(&RemoteSocket::timeout(socket.clone(), Duration::ZERO), "a", ()).await?;
    RemoteSocket::join(socket, "a").await;
    RemoteSocket::leave(socket, "a").await;
    RemoteSocket::disconnect(socket, true).await;
    Ok(())
}

async fn socket(socket: &Socket) -> Result<(), CallError> {
    Socket::id(socket);
    Socket::namespace(socket);
    Socket::io(socket);
    Socket::param(socket, "id");
    Socket::handshake(socket);
    Socket::rooms(socket);
    Socket::is_connected(socket);
    Socket::transport(socket);
    Socket::protocol(socket);
    Socket::emit(socket, "a", ());
    Socket::send(socket, Data(Binary::from(vec![])));
    Socket::call(socket, "a", ()).await?;
    Socket::timeout(socket, Duration::ZERO).emit("a", ());
    Socket::volatile(socket).emit("a", ());
    Socket::compress(socket, false).emit("a", ());
    Socket::broadcast(socket).emit("a", ());
    Socket::local(socket).emit("a", ());
    Socket::to(socket, "a").emit("a", ());
    Socket::except(socket, "a").emit("a", ());
    Socket::join(socket, "a");
    Socket::leave(socket, "a");
    Socket::disconnect(socket, true);
    Socket::save_session(socket, 1);
    Socket::session::<i32>(socket);
    Socket::update_session(socket, |value: &mut i32| *value += 1);
    let _ = Socket::set_data(socket, &1);
    Ok(())
}

fn handshake(handshake: &Handshake) {
    Handshake::header(handshake, "a");
    let _ = Handshake::headers(handshake);
    Handshake::query(handshake, "a");
    Handshake::query_string(handshake);
    Handshake::path(handshake);
    Handshake::time(handshake);
    Handshake::client_addr(handshake);
    Handshake::peer_addr(handshake);
    Handshake::is_secure(handshake);
}

fn values(error: &CallError, reason: DisconnectReason, parser: Arc<dyn Parser>, _: (BuildError, Args)) {
    let _ = matches!(error, CallError::Timeout(_) | CallError::Disconnected);
    let _ = Parsers::Custom(parser);
    match reason {
        DisconnectReason::ClientNamespaceDisconnect | DisconnectReason::ServerNamespaceDisconnect => {}
        DisconnectReason::PingTimeout | DisconnectReason::ParseError => {}
        DisconnectReason::TransportClose | DisconnectReason::TransportError => {}
        DisconnectReason::ForcedClose | DisconnectReason::ForcedServerClose => {}
        DisconnectReason::ServerShuttingDown | DisconnectReason::Slow => {}
        _ => {}
    }
}
