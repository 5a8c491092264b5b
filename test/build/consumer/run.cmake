# Runs the consumer on a directory that does not exist.
file(REMOVE_RECURSE ${PROGRAM}-db)
execute_process(COMMAND ${PROGRAM} ${PROGRAM}-db RESULT_VARIABLE status OUTPUT_VARIABLE output)
if(NOT status EQUAL 0 OR NOT output STREQUAL "hello from a consumer\n")
  message(FATAL_ERROR "${PROGRAM}: exit status ${status}, output: ${output}")
endif()
