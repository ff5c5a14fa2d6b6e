use sockeye::{Server, Socket};

async fn connect(_: Socket) -> Result<(), u32> {
    Err(401)
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on_connect(connect));
}
