//! One list of a port's calls, from which its wrappers are made.

/// Makes of the calls of a store's port: a trait whose methods stand between callers and the port and do nothing
/// unless they are overridden; the port with such a layer around it; the port with faults around it.
macro_rules! store_port {
    ($port:ident, layer $layer:ident, layered $layered:ident, faulty $faulty:ident {
        $( $call:ident: $method:ident($($name:ident: $kind:ty),* $(,)?) -> $answer:ty; )*
    }
    sync { $( fn $plain:ident($($plain_name:ident: $plain_kind:ty),*) -> $plain_answer:ty; )* }) => {
        /// What stands between callers and the port: each call goes on to `inner`, unless it is overridden.
        #[async_trait]
        pub trait $layer: Send + Sync + Debug {
            $(
                #[doc = concat!("See [`", stringify!($port), "::", stringify!($method), "`].")]
                async fn $method(&self, inner: &dyn $port, $($name: $kind),*) -> Stored<$answer> {
                    inner.$method($($name),*).await
                }
            )*
            $(
                #[doc = concat!("See [`", stringify!($port), "::", stringify!($plain), "`].")]
                fn $plain(&self, inner: &dyn $port, $($plain_name: $plain_kind),*) -> $plain_answer {
                    inner.$plain($($plain_name),*)
                }
            )*
        }

        /// The port with a layer around it.
        #[derive(Debug)]
        pub(super) struct $layered {
            pub(super) inner: Arc<dyn $port>,
            pub(super) layer: Arc<dyn $layer>,
        }

        #[async_trait]
        impl $port for $layered {
            $(
                async fn $method(&self, $($name: $kind),*) -> Stored<$answer> {
                    self.layer.$method(&*self.inner, $($name),*).await
                }
            )*
            $(
                fn $plain(&self, $($plain_name: $plain_kind),*) -> $plain_answer {
                    self.layer.$plain(&*self.inner, $($plain_name),*)
                }
            )*
        }

        /// The port with faults around it.
        #[derive(Debug)]
        pub(super) struct $faulty {
            pub(super) inner: Arc<dyn $port>,
            pub(super) faults: Arc<Faults>,
        }

        #[async_trait]
        impl $port for $faulty {
            $(
                async fn $method(&self, $($name: $kind),*) -> Stored<$answer> {
                    self.faults.around(Call::$call, self.inner.$method($($name),*)).await
                }
            )*
            $(
                fn $plain(&self, $($plain_name: $plain_kind),*) -> $plain_answer {
                    self.inner.$plain($($plain_name),*)
                }
            )*
        }
    };
}
