# Runs the consumer on a directory that is not there.
file(REMOVE_RECURSE ${PROGRAM}-db)
execute_process(COMMAND ${PROGRAM} ${PROGRAM}-db RESULT_VARIABLE status OUTPUT_VARIABLE said)
if(NOT status EQUAL 0 OR NOT said STREQUAL "hello from a consumer\n")
  message(FATAL_ERROR "status ${status}, said: ${said}")
endif()
