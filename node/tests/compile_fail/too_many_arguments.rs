use sockeye::{Io, Server};

async fn handler(_: Io, _: Io, _: Io, _: Io, _: Io, _: Io, _: Io, _: Io, _: Io) {}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", handler));
}
