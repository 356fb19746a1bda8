//! What is reserved for an order.

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::inventory::{InventoryState, Reservation};
use millstream_topics::{Inventory, InventoryEvent, TOPICS};
use serde::{Deserialize, Serialize};

use super::{ORDER_MISMATCH, check_items};

/// The order's items were released; they are not reserved again.
pub const INVENTORY_RELEASED: &str = "inventory-released";

/// What is reserved for one order.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Reservation>,
    #[serde(default)]
    items: Vec<String>,
}

/// Each command may come again; a release that overtakes its reservation keeps it from being made.
pub fn decide(reserved: &mut Reserved, command: InventoryEvent) -> Result<InventoryState, Failure> {
    let status = match command {
        InventoryEvent::ReserveInventory(command) => {
            check_items(&command.items)?;
            match reserved.status {
                Some(Reservation::Released) => {
                    return Err(Failure::new(
                        INVENTORY_RELEASED,
                        "the items of this order were released; order them again under a new \
                         order id",
                    ));
                }
                Some(Reservation::Reserved) if reserved.items != command.items => {
                    return Err(Failure::new(
                        ORDER_MISMATCH,
                        "other items are reserved for this order id; use a new one",
                    ));
                }
                _ => reserved.items = command.items,
            }
            Reservation::Reserved
        }
        InventoryEvent::ReleaseInventory(_) => {
            reserved.items.clear();
            Reservation::Released
        }
    };
    reserved.status = Some(status);
    Ok(InventoryState { status })
}

/// The service. Its key is the order id.
pub fn inventory(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("Inventory" in TOPICS))
        .on::<Inventory, _>(decide)
}

#[cfg(test)]
mod tests {
    use millstream_schemas::inventory::{ReleaseInventory, ReserveInventory};

    use super::*;

    fn reserve(reserved: &mut Reserved, items: &[&str]) -> Result<InventoryState, Failure> {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        decide(reserved, ReserveInventory { items }.into())
    }

    fn release(reserved: &mut Reserved) -> Reservation {
        let released = decide(reserved, ReleaseInventory {}.into());
        released.unwrap().status
    }

    #[test]
    fn reserved_and_released_as_often_as_asked() {
        let mut reserved = Reserved::default();
        for _ in 0..2 {
            let state = reserve(&mut reserved, &["laptop"]).unwrap();
            assert_eq!(state.status, Reservation::Reserved);
        }
        for _ in 0..2 {
            assert_eq!(release(&mut reserved), Reservation::Released);
            assert!(reserved.items.is_empty());
        }
    }

    #[test]
    fn a_release_comes_to_stay() {
        let mut reserved = Reserved::default();
        release(&mut reserved);
        let refused = reserve(&mut reserved, &["laptop"]).unwrap_err();
        assert_eq!(refused.code, INVENTORY_RELEASED);
    }

    #[test]
    fn an_order_has_one_list_of_items() {
        let mut reserved = Reserved::default();
        assert_eq!(
            reserve(&mut reserved, &[]).unwrap_err().code,
            "invalid-request"
        );
        reserve(&mut reserved, &["laptop"]).unwrap();
        let refused = reserve(&mut reserved, &["mouse"]).unwrap_err();
        assert_eq!(refused.code, ORDER_MISMATCH);
    }
}
