use sockeye::{Server, Socket};

struct Answer;

async fn handler(_: Socket) -> Answer {
    Answer
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", handler));
}
