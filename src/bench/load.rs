//! The load generator: connections that each send the next request when the last one was answered. Lean, because it
//! shares the machine with what it measures: requests are written into one buffer, answers are read no further than needed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BenchError;
use super::meter::{CLIENT_THREAD, Cpu, Histogram, Stopwatch};

/// The longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Work before anything is counted.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// What one operation of a load is: writes request after request and looks at the answers.
pub trait Script: Send + Sync + 'static {
    /// Appends the request number `number` of a connection.
    fn request(&self, connection: usize, number: u64, out: &mut Vec<u8>);
    /// The status that the answer must have.
    fn status(&self) -> u16;
}

/// What a load did while it was counted.
#[derive(Clone, Default)]
pub struct Outcome {
    pub done: u64,
    pub elapsed: Duration,
    pub latency: Histogram,
    pub cpu: Cpu,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// CPU time in microseconds for each operation, of which part so ever.
    pub fn each(&self, micros: u64) -> f64 {
        micros as f64 / (self.done.max(1)) as f64
    }
}

/// Runs a load against a server for `time` after warming up.
pub fn run(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    script: Arc<dyn Script>,
) -> Result<Outcome, BenchError> {
    on_client_thread(async move {
        let watch = Stopwatch::start();
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..connections {
            tasks.spawn(client(address, connection, script.clone(), watch, WARM_UP + time));
        }
        collect(tasks, watch, time).await
    })
}

/// Runs a future on a thread that is counted as load generator.
pub fn on_client_thread<T: Send>(future: impl Future<Output = Result<T, BenchError>> + Send) -> Result<T, BenchError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(BenchError::io("starting the load generator"))?.block_on(future)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(CLIENT_THREAD.to_owned()).spawn_scoped(scope, work);
        let thread = thread.map_err(BenchError::io("starting the load generator"))?;
        thread.join().expect("the load generator does not panic")
    })
}

/// One connection; answers the latencies of what was answered between warm-up and end.
async fn client(
    address: SocketAddr,
    connection: usize,
    script: Arc<dyn Script>,
    watch: Stopwatch,
    end: Duration,
) -> Result<Histogram, BenchError> {
    let mut latency = Histogram::default();
    let mut line = Connection::open(address).await?;
    let mut number = 0;
    loop {
        let sent = watch.elapsed();
        if sent >= end {
            return Ok(latency);
        }
        line.request.clear();
        script.request(connection, number, &mut line.request);
        let status = line.exchange().await?;
        if status != script.status() {
            return Err(BenchError::Answer { status, body: String::from_utf8_lossy(line.body()).into_owned() });
        }
        number += 1;
        let answered = watch.elapsed();
        if answered >= WARM_UP && answered <= end {
            latency.record(u64::try_from((answered - sent).as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// A connection that is kept open.
pub struct Connection {
    stream: TcpStream,
    pub request: Vec<u8>,
    answer: Vec<u8>,
    head: usize,
    filled: usize,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).await.map_err(BenchError::io("connecting to the server"))?;
        stream.set_nodelay(true).map_err(BenchError::io("connecting to the server"))?;
        Ok(Self { stream, request: Vec::with_capacity(1024), answer: vec![0; 4096], head: 0, filled: 0 })
    }

    /// Sends `request` and reads the whole answer; answers its status.
    pub async fn exchange(&mut self) -> Result<u16, BenchError> {
        self.stream.write_all(&self.request).await.map_err(BenchError::io("sending a request"))?;
        self.filled = 0;
        let mut whole = None;
        loop {
            if self.filled == self.answer.len() {
                if self.filled >= ANSWER_MAX_BYTES {
                    return Err(BenchError::NotHttp);
                }
                self.answer.resize(self.filled * 2, 0);
            }
            let read = self.stream.read(&mut self.answer[self.filled..]).await;
            let read = read.map_err(BenchError::io("reading an answer"))?;
            if read == 0 {
                return Err(BenchError::NotHttp);
            }
            self.filled += read;
            if whole.is_none() {
                whole = head(&self.answer[..self.filled])?;
            }
            if let Some(head) = &whole
                && self.filled >= head.bytes + head.body
            {
                self.head = head.bytes;
                return Ok(head.status);
            }
        }
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.head..self.filled]
    }
}

struct Head {
    status: u16,
    /// With the empty line.
    bytes: usize,
    body: usize,
}

/// Reads status and length once the whole head is there.
fn head(answer: &[u8]) -> Result<Option<Head>, BenchError> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..end]).map_err(|_| BenchError::NotHttp)?;
    let status = text.get(9..12).and_then(|digits| digits.parse().ok()).ok_or(BenchError::NotHttp)?;
    let mut body = 0;
    for line in text.split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body = value.trim().parse().map_err(|_| BenchError::NotHttp)?;
        }
    }
    Ok(Some(Head { status, bytes: end + 4, body }))
}

/// Runs a piece of work over and over in many tasks for `time` after warming up, without HTTP.
pub fn repeat<F, R>(tasks: usize, time: Duration, work: F) -> Result<Outcome, BenchError>
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    on_client_thread(async move {
        let watch = Stopwatch::start();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let work = work.clone();
            running.spawn(async move {
                let mut latency = Histogram::default();
                loop {
                    let begun = watch.elapsed();
                    if begun >= WARM_UP + time {
                        return Ok::<_, BenchError>(latency);
                    }
                    work().await?;
                    let ended = watch.elapsed();
                    if ended >= WARM_UP && ended <= WARM_UP + time {
                        latency.record(u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX));
                    }
                }
            });
        }
        collect(running, watch, time).await
    })
}

/// Waits for all tasks and adds up what they did while it counted.
pub async fn collect(
    mut running: tokio::task::JoinSet<Result<Histogram, BenchError>>,
    watch: Stopwatch,
    time: Duration,
) -> Result<Outcome, BenchError> {
    tokio::time::sleep(WARM_UP.saturating_sub(watch.elapsed())).await;
    let cpu = Cpu::now();
    tokio::time::sleep((WARM_UP + time).saturating_sub(watch.elapsed())).await;
    let mut outcome = Outcome { elapsed: time, cpu: Cpu::now().since(&cpu), ..Outcome::default() };
    while let Some(ended) = running.join_next().await {
        let latency = ended.expect("clients do not panic")?;
        outcome.done += latency.count();
        outcome.latency.add(&latency);
    }
    Ok(outcome)
}
