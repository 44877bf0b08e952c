// pipeline/single_plan.h
//
// A plan of one service: no routes, no policies, one entry that says all that it knows of an error.
#pragma once

#include <memory>
#include <string>

#include "pipeline/plan.h"

namespace portloom::pipeline {

// Never null; owns `service`. `name`: of its only listener.
std::unique_ptr<Plan> single_plan(std::unique_ptr<Service> service, std::string name);

}  // namespace portloom::pipeline
