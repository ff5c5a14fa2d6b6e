use std::rc::Rc;

use sockeye::{Server, Socket};

async fn handler(_: Socket) {
    let local = Rc::new(1);
    std::future::ready(()).await;
    drop(local);
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on("hello", handler));
}
