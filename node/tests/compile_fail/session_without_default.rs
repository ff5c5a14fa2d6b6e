use sockeye::Socket;

#[derive(Clone)]
struct Visits(u32);

fn count(socket: &Socket) {
    socket.update_session(|visits: &mut Visits| visits.0 += 1);
}

fn main() {}
