// app/sights.h
//
// What the workers of a running gateway see of a service's endpoints just now, in words: whom they favour, and the loads that say why.
// Plain data, worker by worker.
#pragma once

#include <string>
#include <vector>

#include "data/json.h"
#include "upstream/cluster.h"

namespace portloom::app {

// One service's endpoints, by worker.
using Sights = std::vector<std::vector<upstream::Sight>>;

// "10.0.0.1:80", "10.0.0.1:80 on 2 of 3 workers, 10.0.0.2:80 on 1 of 3 workers"; "left to chance: several are alike"; "none may be asked".
// Empty: nobody knows.
std::string favoured_text(const Sights& sights);
// Of the instance with this key, over all workers: ", 3 under way, answers in 1.2ms"; empty: no worker knows it.
std::string load_text(const Sights& sights, const std::string& key);
// An array with an object for each worker and endpoint.
void write_sights(data::JsonWriter& json, const Sights& sights);

}  // namespace portloom::app
