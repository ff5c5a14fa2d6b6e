//! Who may connect: a token in the auth object for everyone, a cookie for the same user in a browser, a role for `/admin`.
//!
//! ```sh
//! cargo run -p sockeye --example auth
//! ```
//!
//! Try it with the stock JavaScript client (`npm install socket.io-client`, then `node`):
//!
//! ```js
//! const { io } = require("socket.io-client");
//! const socket = io("http://127.0.0.1:3000", { auth: { token: "token-of-ada" } });
//! socket.emit("who am I", console.log);                            // ada
//! io("http://127.0.0.1:3000/admin", { auth: { token: "token-of-bob" } })
//!   .on("connect_error", (error) => console.log(error.message, error.data)); // not an admin { code: 403 }
//! ```

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::json;
use sockeye::{Auth, ConnectRefused, HandshakeRef, Server, ServerBuilder, Socket, State};
use tokio::{net::TcpListener, signal};

/// A user, as the rest of the application knows it.
#[derive(Clone)]
struct User {
    name: String,
    is_admin: bool,
}

/// Checks tokens. Put your JWT library or your table of sessions here.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<HashMap<String, User>>);

impl Tokens {
    async fn verify(&self, token: &str) -> Option<User> {
        self.0.get(token).cloned()
    }
}

/// What clients send when they connect: `io(url, { auth: { token } })`.
#[derive(Deserialize)]
struct Credentials {
    token: Option<String>,
}

/// The token of the auth object or, for pages of a site where one is logged in, of the cookie `session`.
fn token(auth: Credentials, handshake: &HandshakeRef) -> Option<String> {
    auth.token.or_else(|| {
        let cookies = handshake.header("cookie")?;
        let value = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("session="))?;
        Some(value.to_owned())
    })
}

async fn authenticate(
    socket: Socket,
    Auth(auth): Auth<Credentials>,
    handshake: HandshakeRef,
    State(tokens): State<Tokens>,
) -> Result<(), ConnectRefused> {
    let refused = || ConnectRefused::new("not authorized").data(&json!({"code": 401}));
    let token = token(auth, &handshake).ok_or_else(refused)?;
    let user = tokens.verify(&token).await.ok_or_else(refused)?;
    socket.join(format!("user {}", user.name)); // all tabs and devices of this user
    socket.save_session(user);
    Ok(())
}

async fn authenticate_admin(
    socket: Socket,
    auth: Auth<Credentials>,
    handshake: HandshakeRef,
    tokens: State<Tokens>,
) -> Result<(), ConnectRefused> {
    authenticate(socket.clone(), auth, handshake, tokens).await?;
    match socket.session::<User>() {
        Some(user) if user.is_admin => Ok(()),
        _ => Err(ConnectRefused::new("not an admin").data(&json!({"code": 403}))),
    }
}

pub(crate) fn server(tokens: Tokens) -> ServerBuilder {
    Server::builder()
        .state(tokens)
        .namespace("/", |ns| {
            ns.on_connect(authenticate)
                .on("who am I", async |socket: Socket| socket.session::<User>().map(|user| user.name.clone()))
        })
        .namespace("/admin", |ns| ns.on_connect(authenticate_admin))
}

/// Two users, so that the program can be tried.
pub(crate) fn tokens() -> Tokens {
    let user = |name: &str, is_admin| (format!("token-of-{name}"), User { name: name.into(), is_admin });
    Tokens(Arc::new(HashMap::from([user("ada", true), user("bob", false)])))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server(tokens()).build().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on {}", listener.local_addr()?);
    server.serve(listener, async { signal::ctrl_c().await.unwrap_or(()) }).await;
    Ok(())
}
