use sockeye::{Data, Server, Socket};

struct Message;

async fn handler(_: Socket, Data(_message): Data<Message>) {}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", handler));
}
