//! Options of HTTP: who may connect, from where, and what the answers look like.

use std::{future::Future, sync::Arc, time::Duration};

use http::HeaderMap;

use super::ServerBuilder;
use crate::{
    conn::handshake::HandshakeRef,
    http::{
        addresses::AddressLimits, cookie::Cookie, cors::Cors, head::RequestHead, hooks::Forbidden,
        proxies::TrustedProxies,
    },
};

impl ServerBuilder {
    /// Which web pages may connect; those of the same origin if not said.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.http.cors = cors;
        self
    }

    /// A cookie with the connection's id, for load balancers; none if not said.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.http.cookie = Some(cookie);
        self
    }

    /// Whose word counts about where a client is and how it reached the server: see [`TrustedProxies`]. Nobody's if not said.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.http.proxies = Some(proxies);
        self
    }

    /// Whether trusted proxies put a header of the PROXY protocol, version 1 or 2, in front of each connection, as TCP load balancers
    /// do; false if not said. The client's address, and in version 2 whether it speaks TLS, are then what the header says.
    ///
    /// Only for the [server's own accept loop](crate::Server::serve). Every connection has to begin with a header: one that does not, or
    /// that comes from elsewhere, is closed and counted. [`trusted_proxies`](Self::trusted_proxies) has to name the senders.
    ///
    /// ```
    /// # use sockeye::{Server, TrustedProxies};
    /// let builder = Server::builder().trusted_proxies(TrustedProxies::cidrs(["10.0.0.0/8"])).proxy_protocol(true);
    /// ```
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.http.proxy_protocol = on;
        self
    }

    /// How many connections one client address may have, and how fast it may open them: see [`AddressLimits`]. Needs
    /// [`trusted_proxies`](Self::trusted_proxies).
    ///
    /// ```
    /// # use sockeye::{AddressLimits, Server, TrustedProxies};
    /// let limits = AddressLimits { handshakes_per_second: 5, handshake_burst: 50, connections: 200 };
    /// let builder = Server::builder().trusted_proxies(TrustedProxies::none()).address_limits(limits);
    /// ```
    pub fn address_limits(mut self, limits: AddressLimits) -> Self {
        self.http.addresses = Some(limits);
        self
    }

    /// From how many bytes on the answers of long-polling are compressed, with gzip or deflate as the client asks; 1,024 if not said,
    /// `None` for never.
    ///
    /// Compression tells a listener how well a text compresses: where an answer holds a secret together with something that somebody else
    /// chooses, it can be guessed letter by letter (BREACH). Send such events with [`compress(false)`](crate::Broadcast::compress), or
    /// switch compression off.
    ///
    /// WebSocket messages are never compressed, whatever extensions a client offers. It would take memory (up to 300 KiB) for each
    /// connection and processor time for each recipient, where now all recipients of an event share its bytes; the JavaScript server has it
    /// switched off, too, for these reasons.
    pub fn compression_threshold(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.http.compression = bytes.into();
        self
    }

    /// A header that every answer gets.
    ///
    /// ```
    /// # use sockeye::Server;
    /// let builder = Server::builder().response_header("strict-transport-security", "max-age=31536000");
    /// ```
    pub fn response_header(mut self, name: &str, value: &str) -> Self {
        self.http.hooks.add_header(name, value);
        self
    }

    /// Adds headers to the answer of every request, and to the 101 of a WebSocket handshake: the JavaScript server's event
    /// `headers`. Called before the answer is known, in the order of registration; what comes later sees, and may change, what was
    /// set before. A header replaces the server's own of that name, but for `Vary` and `Set-Cookie`, which are added. Those that
    /// frame the message (`Connection`, `Content-Length`, `Sec-WebSocket-*` …) are left out.
    ///
    /// ```
    /// # use sockeye::Server;
    /// let builder = Server::builder().response_headers(|head, headers| {
    ///     if let Some(id) = head.header("x-request-id").and_then(|id| id.parse().ok()) {
    ///         headers.insert("x-request-id", id);
    ///     }
    /// });
    /// ```
    pub fn response_headers(
        mut self,
        hook: impl Fn(&RequestHead<'_>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.add_each(Arc::new(hook));
        self
    }

    /// The same for the answer that opens a connection: the JavaScript server's event `initial_headers`. Refused handshakes do
    /// not get them.
    ///
    /// ```
    /// # use sockeye::Server;
    /// use axum::http::{HeaderValue, header::SET_COOKIE};
    ///
    /// let builder = Server::builder().initial_headers(|_, headers| {
    ///     headers.append(SET_COOKIE, HeaderValue::from_static("seen=1; Path=/"));
    /// });
    /// ```
    pub fn initial_headers(
        mut self,
        hook: impl Fn(&RequestHead<'_>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.add_initial(Arc::new(hook));
        self
    }

    /// Has the application decide about every request that wants to open a connection; requests within one are not asked about.
    ///
    /// A refused polling client gets 403 and `{"code":4,"message":…}`, a WebSocket handshake 400 and the message as text, as from the
    /// JavaScript server. The function may wait for others for 10 s; then, or if it panics, the client is refused, too. It runs before anything
    /// is kept of the client, and knows no namespace: who may join which one is decided by their
    /// [`on_connect`](crate::NamespaceBuilder::on_connect), which sees the auth object that browsers cannot send in a header.
    ///
    /// ```
    /// # use sockeye::{Forbidden, HandshakeRef, Server};
    /// # async fn is_banned(_: std::net::IpAddr) -> bool { false }
    /// let builder = Server::builder().allow_request(async |request: HandshakeRef| {
    ///     match request.client_addr() {
    ///         Some(address) if is_banned(address).await => Err(Forbidden::new("banned")),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// ```
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(HandshakeRef) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Forbidden>> + Send + 'static,
    {
        self.http.hooks.set_allow(Arc::new(move |handshake| Box::pin(allow(handshake))));
        self
    }

    /// How long a client may take for a request's head, and for its body; 20 s if not said.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}
