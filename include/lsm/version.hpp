#pragma once

#define LSM_VERSION_MAJOR 0
#define LSM_VERSION_MINOR 1
#define LSM_VERSION_PATCH 0
#define LSM_VERSION "0.1.0"
