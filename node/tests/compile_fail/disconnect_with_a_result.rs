use sockeye::{DisconnectReason, Server, Socket};

async fn disconnect(_: Socket, reason: DisconnectReason) -> String {
    reason.to_string()
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on_disconnect(disconnect));
}
