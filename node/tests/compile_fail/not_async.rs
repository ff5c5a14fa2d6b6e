use sockeye::{Server, Socket};

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", |_: Socket| "not a future"));
}
