//! The demo's shop: one program that is its page (`web`), its `catalog` and its `checkout`.
//!
//! It behaves as a good tenant of Kubernetes does: health endpoints, metrics, a log of one JSON line per request, and
//! a stop that loses no request. Its version, its colour and its faults are settings, so that one program stands for
//! good and bad releases. It never speaks TLS, never knows who is buying, and needs nothing from its image but itself.
//!
//! Start reading at [`settings`] for what can be set, then at [`service`] for what every role does.

mod api;
mod catalog;
mod checkout;
mod faults;
mod listen;
mod metrics;
mod service;
mod settings;
mod web;

use std::process::ExitCode;

use settings::{Role, Settings};

const USAGE: &str = "usage: shop web|catalog|checkout

  SHOP_LISTEN        address to listen on (0.0.0.0:8080)
  SHOP_VERSION       shown on the page and in the metrics
  SHOP_COLOUR        a CSS colour, the accent of the page
  SHOP_LAYOUT        list or cards (list)
  SHOP_TITLE         headline of the page
  SHOP_ENVIRONMENT   shown on the page
  SHOP_CATALOG_URL   where web finds the catalog (http://catalog)
  SHOP_CHECKOUT_URL  where web finds the checkout (http://checkout)
  SHOP_DATA          folder of the checkout's database (/data)
  SHOP_ERROR_RATE    share of requests that fail, 0 to 1 (0)
  SHOP_LATENCY_MS    delay of every request (0)
  SHOP_DRAIN_MS      how long to go on after SIGTERM, until nobody sends requests (2000)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [word] => Role::parse(word),
        _ => None,
    };
    let Some(role) = role else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop {}: {error}", role.name());
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    // A few requests a second: one thread is enough, and shows what a pod really uses.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(settings.listen)
            .await
            .map_err(|e| format!("{} cannot be listened on: {e}", settings.listen))?;
        let drain = settings.drain;
        let service = service::Service::new(role, settings);
        let router = match role {
            Role::Web => web::router(service.clone()),
            Role::Catalog => catalog::router(service.clone()),
            Role::Checkout => {
                let orders = checkout::Orders::open(&service.settings.data).await?;
                let router = checkout::router(service.clone(), orders.clone());
                listen::serve(listener, router, &service, drain, listen::asked_to_stop()?).await;
                orders.close().await;
                return Ok(());
            }
        };
        listen::serve(listener, router, &service, drain, listen::asked_to_stop()?).await;
        Ok(())
    })
}
