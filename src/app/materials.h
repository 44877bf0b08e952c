// app/materials.h
//
// What stands in the files that a configuration names: certificates, keys, authorities. Read on the control thread with
// every load, so that a bad file is a problem like any other, with the place of the key that names it, and never replaces
// what is in force. Keys are never shown.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"
#include "io/tls.h"

namespace portloom::app {

struct Materials {
  std::vector<std::shared_ptr<const io::TlsServerMaterial>> listeners;                        // by listener; null: it speaks plainly
  std::map<std::string, std::shared_ptr<const io::TlsClientMaterial>, std::less<>> services;  // those that speak TLS
  std::map<std::string, std::string, std::less<>> sticky;                                     // keys of services whose clients stay
  std::map<std::string, uint64_t, std::less<>> digests;       // of the files of those: another one when a file holds something else
  std::string registry_token;                                 // what writers show; empty: nothing
  std::shared_ptr<const io::TlsClientMaterial> registry_tls;  // null: it is spoken to in plain text, or is here
  uint64_t registry_digest = 0;                               // of its files, as above
  std::string etcd_password;                                  // empty: nobody logs in
  std::shared_ptr<const io::TlsClientMaterial> etcd_tls;      // null: it is spoken to in plain text
  uint64_t etcd_digest = 0;
  std::vector<std::string> files;      // what was asked for, read or not
  std::set<std::string> certificates;  // fingerprints of ours
};

// Adds what is wrong to `loaded`; after an error it holds no document. A certificate that has expired is a warning at start and
// where it is in force already; one that is to replace what `in_force` has is an error: what works is not given up for it.
Materials load_materials(config::Loaded& loaded, const Materials* in_force = nullptr);

}  // namespace portloom::app
