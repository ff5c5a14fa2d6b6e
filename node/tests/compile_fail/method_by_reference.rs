use sockeye::{Class, NamespaceClass, Socket};

struct Chat;

impl Chat {
    async fn hello(&self, _: Socket) -> String {
        "hello".to_owned()
    }
}

impl NamespaceClass for Chat {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class.on("hello", Self::hello)
    }
}

fn main() {}
