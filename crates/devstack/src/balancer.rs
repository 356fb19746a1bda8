//! One address for several replicas of the handlers: connections are spread over those that accept
//! them. In an installation that is the work of its load balancer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Passes the connections to `listen` on to `replicas`, another one first each time.
pub async fn balance(listen: SocketAddr, replicas: Vec<SocketAddr>) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let replicas: Arc<[SocketAddr]> = replicas.into();
    for turn in 0_usize.. {
        // An error is one of a single connection, or there are too many of them for the moment.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(pass(client, Arc::clone(&replicas), turn));
    }
    Ok(())
}

/// Passes one connection on until one side ends it.
async fn pass(mut client: TcpStream, replicas: Arc<[SocketAddr]>, turn: usize) {
    for next in 0..replicas.len() {
        let replica = replicas[(turn + next) % replicas.len()];
        let Ok(mut replica) = TcpStream::connect(replica).await else {
            continue;
        };
        // Frames are small and waited for.
        let _ = client.set_nodelay(true);
        let _ = replica.set_nodelay(true);
        // That one side has gone is no news.
        let _ = copy_bidirectional(&mut client, &mut replica).await;
        return;
    }
}
