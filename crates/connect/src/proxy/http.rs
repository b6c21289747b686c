//! The HTTP client makes ways through the proxy itself, and says of one that did not come about hardly more than that. What stands around its
//! connections judges the name first, and finds out why there is none.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderValue;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::ExposeSecret;
use tower::{BoxError, Layer, Service};

use super::{ProxyRefusal, Tunnel};
use crate::dial::CONNECT_TIMEOUT;
use crate::error::{Error, is_of_tls};
use crate::names::Names;

impl Tunnel {
    /// The proxy as the HTTP client takes it: for everything, as a client has one target.
    pub(crate) fn of_client(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(format!("http://{}", self.proxy))?;
        let login = self.proxy.0.login.as_ref().and_then(|login| HeaderValue::from_str(login.expose_secret()).ok());
        Ok(match login {
            Some(mut login) => {
                login.set_sensitive(true);
                proxy.custom_http_auth(login)
            }
            None => proxy,
        })
    }

    /// Finds the proxy, which is all that the client looks up then.
    pub(crate) fn resolver(&self) -> Arc<impl Resolve + 'static> {
        Arc::new(NameOfProxy(Arc::clone(&self.names)))
    }
}

struct NameOfProxy(Arc<dyn Names>);

impl Resolve for NameOfProxy {
    fn resolve(&self, name: Name) -> Resolving {
        let names = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

/// Around the connections of a client that has this target.
impl<S> Layer<S> for Tunnel {
    type Service = Through<S>;

    fn layer(&self, inner: S) -> Through<S> {
        Through { inner, tunnel: self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Through<S> {
    inner: S,
    tunnel: Tunnel,
}

impl<S, R> Service<R> for Through<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let unused = self.inner.clone();
        // The one that said that it is ready.
        let mut inner = std::mem::replace(&mut self.inner, unused);
        let tunnel = self.tunnel.clone();
        Box::pin(async move {
            tunnel.check().await?;
            match tokio::time::timeout(CONNECT_TIMEOUT, inner.call(request)).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => Err(tunnel.explained(error).await),
                Err(_) => Err(tunnel.refused(ProxyRefusal::TimedOut { after: CONNECT_TIMEOUT }).into()),
            }
        })
    }
}

impl Tunnel {
    /// Asks the proxy once more, and reads what it says. Where it opens the way now, the target itself is what failed.
    async fn explained(&self, error: BoxError) -> BoxError {
        let outer: &(dyn StdError + 'static) = &*error;
        if is_of_tls(outer) {
            return error;
        }
        let again: Result<_, Error> = self.open().await;
        again.err().map_or(error, BoxError::from)
    }
}
