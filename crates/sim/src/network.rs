//! The way between clients and servers: messages are delayed, lost and repeated.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Uri};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::chance::Chance;
use crate::executor::{Executor, Node, TaskId};
use crate::machine::Machine;
use crate::tally::Tally;

/// A client waits so long for an answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// An answer, all of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// There was none. Whether the request was carried out nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// How messages fare.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a thousand requests so many get lost.
    pub request_lost: u32,
    /// Of a thousand answers so many get lost.
    pub answer_lost: u32,
    /// Of a thousand requests so many come twice.
    pub repeated: u32,
    /// The longest that a message takes.
    pub slow: Duration,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    executor: Executor,
    chance: Chance,
    weather: std::sync::Mutex<Weather>,
    tally: Arc<Tally>,
}

/// A handler at work. Its client hangs up by dropping this.
struct Call {
    executor: Executor,
    task: Option<TaskId>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(task) = self.task {
            self.executor.cancel(task);
        }
    }
}

impl Network {
    /// A network with this weather.
    pub fn new(executor: Executor, seed: u64, weather: Weather, tally: Arc<Tally>) -> Self {
        Self { executor, chance: Chance::new(seed, "network"), weather: weather.into(), tally }
    }

    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// From now on nothing gets lost.
    pub fn calm(&self) {
        *self.weather.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Weather::default();
    }

    async fn travel(&self) {
        self.executor.sleep(self.chance.time(Duration::from_micros(100), self.weather().slow)).await;
    }

    fn happens(&self, permille: u32, what: &'static str) -> bool {
        let happens = self.chance.happens(permille);
        if happens {
            self.tally.nuisance(what);
        }
        happens
    }

    /// Sends a request to a machine. Whoever drops this hangs up.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn send(
        &self,
        machine: &Machine,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        let weather = self.weather();
        self.travel().await;
        if self.happens(weather.request_lost, "request lost") {
            self.executor.sleep(PATIENCE).await;
            return Err(NoAnswer);
        }
        let Some((node, router)) = machine.door(path) else {
            // Nobody listens: the connection is refused.
            self.travel().await;
            return Err(NoAnswer);
        };
        let request = || request(method.clone(), path, headers.clone(), body.clone());
        if self.happens(weather.repeated, "request repeated") {
            let _goes_on = self.begin(node, router.clone(), request());
        }
        let (task, answered) = self.begin(node, router, request());
        let _hangs_up = Call { executor: self.executor.clone(), task };
        let answer = match select(answered, Box::pin(self.executor.sleep(PATIENCE))).await {
            Either::Left((Ok(answer), _)) => answer,
            // The process died: the connection breaks.
            Either::Left((Err(_), _)) => return Err(NoAnswer),
            Either::Right(_) => return Err(NoAnswer),
        };
        if self.happens(weather.answer_lost, "answer lost") {
            self.executor.sleep(PATIENCE).await;
            return Err(NoAnswer);
        }
        self.travel().await;
        Ok(answer)
    }

    fn begin(&self, node: Node, router: Router, request: Request<Body>) -> (Option<TaskId>, oneshot::Receiver<Answer>) {
        let (answers, answered) = oneshot::channel();
        let task = self.executor.spawn(node, async move {
            let Ok(response) = router.oneshot(request).await;
            let (parts, body) = response.into_parts();
            let Ok(body) = body.collect().await else { return };
            let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() };
            // A client that has hung up is told nothing.
            let _gone = answers.send(answer);
        });
        (task, answered)
    }
}

fn request(method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
    *request.headers_mut() = headers;
    request
}
