use sockeye::{Server, Socket};

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", async |_: Socket, _name: String| ()));
}
