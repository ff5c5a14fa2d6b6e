use sockeye::{Data, Server};

async fn read(Data(path): Data<String>) -> String {
    path
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.on_blocking("read", read));
}
