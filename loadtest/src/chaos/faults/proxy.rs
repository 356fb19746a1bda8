//! A TCP proxy between Restate and the replicas: it spreads connections over those that it may use,
//! and can cut one off from Restate without the replica noticing.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The proxy. Dropping it closes everything.
pub struct Proxy {
    port: u16,
    routes: Arc<Mutex<Routes>>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Routes {
    replicas: Vec<Route>,
    next: usize,
}

struct Route {
    port: u16,
    /// Cancelled when the replica is cut off.
    cut: CancellationToken,
    /// Cancelled when connections that were cut off may end.
    healed: CancellationToken,
}

impl Proxy {
    /// Listens on `port` and passes connections on to these ports.
    pub async fn start(port: u16, replicas: &[u16]) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let stop = CancellationToken::new();
        let routes: Arc<Mutex<Routes>> = Arc::default();
        let accept = accept(listener, Arc::clone(&routes), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        let proxy = Self {
            port,
            routes,
            _stop: stop.drop_guard(),
        };
        for port in replicas {
            proxy.heal(*port);
        }
        Ok(proxy)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Cuts a replica off: Restate's connections to it close, while the replica sees them stay
    /// open in silence, as in a network partition. New connections go to the others.
    pub fn cut(&self, port: u16) {
        for route in &lock(&self.routes).replicas {
            if route.port == port {
                route.cut.cancel();
            }
        }
    }

    /// Uses a replica (again).
    pub fn heal(&self, port: u16) {
        let mut routes = lock(&self.routes);
        for route in routes.replicas.iter().filter(|route| route.port == port) {
            route.cut.cancel();
            route.healed.cancel();
        }
        routes.replicas.retain(|route| route.port != port);
        routes.replicas.push(Route {
            port,
            cut: CancellationToken::new(),
            healed: CancellationToken::new(),
        });
    }
}

async fn accept(listener: TcpListener, routes: Arc<Mutex<Routes>>, stop: CancellationToken) {
    loop {
        // An error is one of a single connection, or there are too many of them for the moment.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let pass = pass(client, Arc::clone(&routes));
        tokio::spawn(stop.clone().run_until_cancelled_owned(pass));
    }
}

/// Passes one connection on until one side ends it or it is cut.
async fn pass(mut client: TcpStream, routes: Arc<Mutex<Routes>>) {
    let candidates = lock(&routes).candidates();
    for (port, cut, healed) in candidates {
        let Ok(mut replica) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = replica.set_nodelay(true);
        let was_cut = tokio::select! {
            _ = copy_bidirectional(&mut client, &mut replica) => false,
            () = cut.cancelled() => true,
        };
        drop(client);
        if was_cut {
            // The replica is to believe that it is still connected.
            healed.cancelled().await;
        }
        return;
    }
}

impl Routes {
    /// The replicas that may be used, another one first each time.
    fn candidates(&mut self) -> Vec<(u16, CancellationToken, CancellationToken)> {
        self.next += 1;
        let mut usable: Vec<_> = self
            .replicas
            .iter()
            .filter(|route| !route.cut.is_cancelled())
            .map(|route| (route.port, route.cut.clone(), route.healed.clone()))
            .collect();
        if !usable.is_empty() {
            let first = self.next % usable.len();
            usable.rotate_left(first);
        }
        usable
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_devstack::Ports;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Says its name to whoever connects, and echoes what comes.
    async fn replica(name: u8) -> (u16, tokio::sync::mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, closed) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    stream.write_all(&[name]).await.unwrap();
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    let _ = tell.send(());
                });
            }
        });
        (port, closed)
    }

    async fn connect(port: u16) -> (u8, TcpStream) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        (stream.read_u8().await.unwrap(), stream)
    }

    #[tokio::test]
    async fn a_replica_that_is_cut_off_does_not_notice() {
        let ((a, mut a_closed), (b, _b_closed)) = (replica(b'a').await, replica(b'b').await);
        let port = Ports::choose(&[]).unwrap().handlers;
        let proxy = Proxy::start(port, &[a]).await.unwrap();
        let (name, mut stream) = connect(port).await;
        assert_eq!(name, b'a');
        proxy.heal(b);
        proxy.cut(a);
        // Our side sees the end, the replica does not.
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(a_closed.try_recv().is_err());
        for _ in 0..4 {
            assert_eq!(connect(port).await.0, b'b');
        }
        proxy.heal(a);
        a_closed.recv().await.unwrap();
        let names = [connect(port).await.0, connect(port).await.0];
        assert!(names.contains(&b'a') && names.contains(&b'b'), "{names:?}");
    }
}
