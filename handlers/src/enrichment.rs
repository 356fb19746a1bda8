//! Event enrichment: registrations and sightings from two topics meet in one package, which a
//! third topic asks about.
//!
//! The three topics share the key, so each package sees its events one after the other. Events of
//! one topic keep their order; between topics there is none, as always in Kafka.

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::package_location_updates::LocationUpdate;
use millstream_schemas::package_queries::{GetPackageInfo, PackageInfo, Sighting};
use millstream_schemas::package_registrations::{PackageRegistered, RegisterPackage};
use millstream_topics::{PackageLocationUpdates, PackageQueries, PackageRegistrations, TOPICS};
use serde::{Deserialize, Serialize};

/// The package was not registered.
pub const PACKAGE_NOT_REGISTERED: &str = "package-not-registered";

/// Sightings of a package that are kept, the latest: all of them are written with every event.
const MAX_LOCATIONS: usize = 1000;

/// What is known of a package.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    #[serde(rename = "package-info", skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Info {
    final_destination: String,
    locations: Vec<Sighting>,
}

impl Package {
    fn registered(&mut self) -> Result<&mut Info, Failure> {
        self.info.as_mut().ok_or_else(|| {
            Failure::new(
                PACKAGE_NOT_REGISTERED,
                "the package is not registered; register it, then send this event again",
            )
        })
    }
}

/// Registering again changes the destination and keeps the sightings.
pub fn register(
    package: &mut Package,
    request: RegisterPackage,
) -> Result<PackageRegistered, Failure> {
    let final_destination = request.final_destination;
    if final_destination.is_empty() {
        return Err(Failure::invalid_request(
            "final_destination is empty; say where it goes",
        ));
    }
    match &mut package.info {
        Some(info) => info.final_destination = final_destination,
        None => {
            package.info = Some(Info {
                final_destination,
                locations: Vec::new(),
            })
        }
    }
    Ok(PackageRegistered {})
}

/// A sighting belongs to a registered package, which keeps the latest.
pub fn update_location(package: &mut Package, update: LocationUpdate) -> Result<(), Failure> {
    let LocationUpdate {
        timestamp,
        location,
    } = update;
    let locations = &mut package.registered()?.locations;
    locations.push(Sighting {
        timestamp,
        location,
    });
    let forgotten = locations.len().saturating_sub(MAX_LOCATIONS);
    locations.drain(..forgotten);
    Ok(())
}

/// All that is known.
pub fn package_info(package: &mut Package, _: GetPackageInfo) -> Result<PackageInfo, Failure> {
    let Info {
        final_destination,
        locations,
    } = package.registered()?.clone();
    Ok(PackageInfo {
        final_destination,
        locations,
    })
}

/// The service. Its key is the package id.
pub fn package_tracker(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("PackageTracker" in TOPICS))
        .on::<PackageRegistrations, _>(register)
        .on::<PackageLocationUpdates, _>(update_location)
        .on::<PackageQueries, _>(package_info)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(location: &str) -> LocationUpdate {
        LocationUpdate {
            timestamp: "2024-10-10 13:00".into(),
            location: location.into(),
        }
    }

    #[test]
    fn sightings_are_kept_in_order() {
        let mut package = Package::default();
        register(
            &mut package,
            RegisterPackage {
                final_destination: "Bridge 6, Amsterdam".into(),
            },
        )
        .unwrap();
        for location in ["Pinetree Road 5, Paris", "Mountain Road 155, Brussels"] {
            update_location(&mut package, seen(location)).unwrap();
        }
        let info = package_info(&mut package, GetPackageInfo {}).unwrap();
        assert_eq!(info.final_destination, "Bridge 6, Amsterdam");
        let locations: Vec<_> = info
            .locations
            .iter()
            .map(|it| it.location.as_str())
            .collect();
        assert_eq!(
            locations,
            ["Pinetree Road 5, Paris", "Mountain Road 155, Brussels"]
        );
    }

    #[test]
    fn the_latest_sightings_alone_are_kept() {
        let mut package = Package::default();
        let final_destination = "Amsterdam".to_owned();
        register(&mut package, RegisterPackage { final_destination }).unwrap();
        for n in 0..MAX_LOCATIONS + 5 {
            update_location(&mut package, seen(&n.to_string())).unwrap();
        }
        let info = package_info(&mut package, GetPackageInfo {}).unwrap();
        assert_eq!(info.locations.len(), MAX_LOCATIONS);
        assert_eq!(info.locations[0].location, "5");
    }

    #[test]
    fn nothing_is_known_before_registration() {
        let mut package = Package::default();
        let refused = update_location(&mut package, seen("Paris")).unwrap_err();
        assert_eq!(refused.code, PACKAGE_NOT_REGISTERED);
        assert_eq!(package, Package::default());
        assert_eq!(
            package_info(&mut package, GetPackageInfo {})
                .unwrap_err()
                .code,
            PACKAGE_NOT_REGISTERED
        );
    }
}
