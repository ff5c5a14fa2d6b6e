use sockeye::{EventName, Server};

async fn count(EventName(name): EventName) -> usize {
    name.len()
}

fn main() {
    let _ = Server::builder().namespace("/", |ns| ns.use_event(count));
}
